"""Who somebody is, and what they may do.

    gate          a request -> its caller, and whether they may: the one way in for the rest of the registry
    accounts      people and robots, with a secret and rights on repositories   (`directory` keeps them in the store)
    policy        of a repository, in ECR's JSON                                (`policies` keeps them in the store)
    tokens        what pushes and pulls come with: short-lived, and for certain repositories only

A caller has a client certificate of the cluster's authority, an account's name and secret, or a token that was given
for one of these. Who has none of them is a stranger, and may what a repository's policy lets everybody do.
"""
