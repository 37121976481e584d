# SPDX-License-Identifier: Apache-2.0
"""What every test process starts with."""

import os
import signal

# A shell that runs this in the background makes it ignore Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Kernels are those that the rules take, whatever was measured on this machine. Processes that tests
# start inherit it.
os.environ["DS_TUNE"] = "0"
