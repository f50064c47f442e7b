"""Framework-neutral plans of the networks: canonical weight names, shapes and initial values."""
