"""Reads files of sales and plans the calls that bring them into Stockwright, without making any."""
