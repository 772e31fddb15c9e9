"""The image registry: an OCI Distribution 1.1 server, which docker, podman, buildah, skopeo and oras use unchanged.

    server  ->  routes, one table  ->  api.<resource>  ->  repository, uploads  ->  storage

Pure: names, errors, ranges, manifest, pages and storage.paths. Only storage.folder touches files. What a repository
holds is written in an order of which every prefix is safe: contents, then links, then the manifest, then its tag.
"""
