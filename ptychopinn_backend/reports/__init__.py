"""Pages for people: a scan that was checked, a training, a reconstruction; each is one file that needs no network."""
