"""What containers wrote: kept, found again, told line by line without gaps or doubles."""
