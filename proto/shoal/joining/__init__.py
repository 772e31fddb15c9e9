"""How a host becomes one of a cluster's, and stays one.

token     the text an operator hands over: a secret, and by what to know the cluster
identity  where a host's key and certificates lie, and who it has become
call      one HTTPS request to a scheduler, which is known by the authority and not by its address
enter     the joining host's side: the authority against the pin, then the secret for a certificate
renewal   a new certificate for the same key, before or after the old one has run out
"""
