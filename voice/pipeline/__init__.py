"""One call from its first frame to its last: hearing, turn taking, answering, speaking. Pure."""
