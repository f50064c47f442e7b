"""What existing scripts bring along: the mapping `params.cfg` and the option sets of PyTorch configurations."""
