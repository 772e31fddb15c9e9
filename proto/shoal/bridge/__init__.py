"""Between a Docker Engine on this machine and the cluster's image registry; the engine needs no configuration for it.

names      what a person calls an image in the registry
archive    the tar that an engine saves and loads: its headers, and which of its files are an image
manifest   manifests and indexes: read, chosen from, made
tars       a tar read and written as a stream
layers     a layer, checked and compressed
known      which layer was compressed to which blob before
engine     all that is said to the engine
transfer   all that is said to the registry, with tokens from `tokens`
push, load, save    what `shoal image` does with these
"""
