"""The report: one self-contained page over what the other stages wrote."""
