"""The TensorFlow backend; the only place that imports TensorFlow."""

from ptychopinn_backend.files.pictures import import_matplotlib_before_a_framework

import_matplotlib_before_a_framework()
