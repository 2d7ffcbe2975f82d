"""The peers: other libraries, each in an environment of its own, doing the same work on the same arrays."""
