"""PyTorch backend: the only package that may import torch and lightning."""

from ptychopinn_backend.files.pictures import import_matplotlib_before_a_framework

import_matplotlib_before_a_framework()
