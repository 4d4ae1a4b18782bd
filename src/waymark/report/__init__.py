"""What a night found, as one HTML page that opens offline."""
