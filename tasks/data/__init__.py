"""Data: from sources to a packed, checked and versioned dataset, and to the pixels that training reads."""
