"""Makes the data that a first look at Stockwright works with."""
