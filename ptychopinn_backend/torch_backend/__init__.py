"""PyTorch backend: the only package that may import torch and lightning."""
