"""A first look at Stockwright: a shop's days as data, orders driven to their ends, a summary."""
