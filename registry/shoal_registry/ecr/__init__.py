"""ECR's API: `POST /ecr/<Operation>`. One module per resource; `operations` says which operation is answered where."""
