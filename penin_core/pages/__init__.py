"""What a state directory holds, as pages of HTML: for one file to send on, and for a server."""
