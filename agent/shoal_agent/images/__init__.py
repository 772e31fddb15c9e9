"""Images: fetching them, with which credentials, and doing without those nobody uses."""
