"""What existing scripts call by other names, each thin; `ptychopinn_backend.legacy` offers all of them."""
