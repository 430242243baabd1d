"""Studies: runs of several arms and seeds under one control, and what they say together."""
