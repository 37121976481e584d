// SPDX-License-Identifier: Apache-2.0
// The version of the project; the build and the Python package read it from this line.
#pragma once

#define DS_VERSION "0.1.0"
