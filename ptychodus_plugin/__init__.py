"""The reconstructor library "PtychoPINN" for Ptychodus; contract in `specs/ptychodus.md`."""
