# SPDX-License-Identifier: Apache-2.0
"""Writes ds/data/digits_data.cpp from scikit-learn's copy of the handwritten digits of UCI
(E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", 1998, CC BY 4.0).

    python tools/make_digits.py > ds/data/digits_data.cpp
"""

import base64
import textwrap
import zlib

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
images = digits.images.astype(np.uint8)
raw = images.tobytes() + digits.target.astype(np.uint8).tobytes()
text = base64.b64encode(zlib.compress(raw, 9)).decode()
lines = "\n".join(f'    "{line}"' for line in textwrap.wrap(text, 94))
print(
    f"""// SPDX-License-Identifier: Apache-2.0
// Made by tools/make_digits.py: {len(images)} images of 8 x 8 (0 to 16), then as many labels,
// compressed by zlib, in base64. Handwritten digits of the UCI repository (E. Alpaydin, C. Kaynak,
// 1998), CC BY 4.0, as packaged by scikit-learn.
#include "ds/data/digits.h"

namespace ds::data {{

const char kDigitsData[] =
{lines};

}}  // namespace ds::data"""
)
