// Nothing: the target that compiles the common headers needs a file of its own.
