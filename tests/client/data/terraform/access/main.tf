terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

# Endpoint, credentials, region and authority come from the environment.
provider "aws" {
  s3_use_path_style       = true
  skip_metadata_api_check = true

  default_tags {
    tags = { managed = "terraform" }
  }
}

data "aws_caller_identity" "me" {}

resource "aws_organizations_organization" "org" {
  feature_set                   = "ALL"
  enabled_policy_types          = ["SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY", "TAG_POLICY", "AISERVICES_OPT_OUT_POLICY"]
  aws_service_access_principals = ["cloudtrail.amazonaws.com", "iam.amazonaws.com"]
}

resource "aws_organizations_organizational_unit" "ai" {
  name      = "ai"
  parent_id = aws_organizations_organization.org.roots[0].id
}

resource "aws_organizations_organizational_unit" "prod" {
  name      = "prod"
  parent_id = aws_organizations_organizational_unit.ai.id
}

resource "aws_organizations_account" "m" {
  name              = "models"
  email             = "models@example.com"
  parent_id         = aws_organizations_organizational_unit.prod.id
  close_on_deletion = false
  role_name         = "OrganizationAccountAccessRole"
}

resource "aws_organizations_policy" "scp" {
  name       = "region-lock"
  type       = "SERVICE_CONTROL_POLICY"
  depends_on = [aws_organizations_organization.org]
  content    = jsonencode({ Version = "2012-10-17", Statement = [{ Sid = "Regions", Effect = "Deny", NotAction = ["iam:*", "organizations:*", "sts:*"], Resource = "*", Condition = { StringNotEquals = { "aws:RequestedRegion" = ["us-east-1", "eu-central-1"] } } }] })
}

resource "aws_organizations_policy_attachment" "scp" {
  policy_id = aws_organizations_policy.scp.id
  target_id = aws_organizations_organizational_unit.ai.id
}

resource "aws_organizations_policy" "tag" {
  name       = "tags"
  type       = "TAG_POLICY"
  depends_on = [aws_organizations_organization.org]
  content    = jsonencode({ tags = { team = { tag_key = { "@@assign" = "team" } } } })
}

resource "aws_organizations_delegated_administrator" "d" {
  account_id        = aws_organizations_account.m.id
  service_principal = "cloudtrail.amazonaws.com"
}

resource "aws_iam_policy" "boundary" {
  name        = "boundary"
  description = "what anybody may have at most"
  policy      = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = ["s3:*", "kms:*", "bedrock:*"], Resource = "*" }] })
}

resource "aws_iam_user" "ana" {
  name                 = "ana"
  path                 = "/people/"
  permissions_boundary = aws_iam_policy.boundary.arn
  force_destroy        = true
  tags                 = { team = "models" }
}

resource "aws_iam_access_key" "ana" { user = aws_iam_user.ana.name }
resource "aws_iam_user_policy" "inline" {
  name   = "inline"
  user   = aws_iam_user.ana.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:ListAllMyBuckets", Resource = "*" }] })
}

resource "aws_iam_group" "g" { name = "scientists" }
resource "aws_iam_group_membership" "gm" {
  name  = "gm"
  group = aws_iam_group.g.name
  users = [aws_iam_user.ana.name]
}

resource "aws_iam_group_policy_attachment" "ga" {
  group      = aws_iam_group.g.name
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_openid_connect_provider" "gh" {
  url             = "https://token.actions.githubusercontent.com"
  client_id_list  = ["sts.amazonaws.com"]
  thumbprint_list = ["6938fd4d98bab03faadb97b34396831e3780aea1"]
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.gh.arn]
    }
    condition {
      test     = "StringLike"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["repo:acme/*"]
    }
  }
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]
    principals {
      type        = "AWS"
      identifiers = [data.aws_caller_identity.me.account_id, aws_iam_user.ana.arn]
    }
  }
}

resource "aws_iam_role" "app" {
  name                 = "app"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = aws_iam_policy.boundary.arn
  max_session_duration = 7200
  description          = "the chat application"
  tags                 = { team = "models" }
}

resource "aws_iam_role_policy" "app" {
  name   = "p"
  role   = aws_iam_role.app.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "bedrock:InvokeModel", Resource = "*" }] })
}

resource "aws_iam_role_policy_attachment" "app" {
  role       = aws_iam_role.app.name
  policy_arn = aws_iam_policy.boundary.arn
}

resource "aws_iam_instance_profile" "app" {
  name = "app"
  role = aws_iam_role.app.name
}

resource "aws_iam_account_password_policy" "pp" {
  minimum_password_length        = 14
  require_numbers                = true
  require_symbols                = true
  require_lowercase_characters   = true
  require_uppercase_characters   = true
  allow_users_to_change_password = true
}

resource "aws_iam_account_alias" "a" { account_alias = "acme-models" }
resource "aws_iam_service_linked_role" "slr" { aws_service_name = "autoscaling.amazonaws.com" }

resource "aws_organizations_policy" "opt_out" {
  name       = "opt-out"
  type       = "AISERVICES_OPT_OUT_POLICY"
  content    = jsonencode({ services = { default = { opt_out_policy = { "@@assign" = "optOut" } } } })
  depends_on = [aws_organizations_organization.org]
}

resource "aws_organizations_policy_attachment" "opt_out" {
  policy_id = aws_organizations_policy.opt_out.id
  target_id = aws_organizations_organization.org.roots[0].id
}

resource "aws_organizations_policy" "perimeter" {
  name       = "perimeter"
  type       = "RESOURCE_CONTROL_POLICY"
  content    = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Deny", Principal = "*", Action = "s3:*", Resource = "*", Condition = { Bool = { "aws:SecureTransport" = "false" } } }] })
  depends_on = [aws_organizations_organization.org]
}

resource "aws_organizations_resource_policy" "delegation" {
  content = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { AWS = "arn:aws:iam::${aws_organizations_account.m.id}:root" }, Action = "organizations:DescribeOrganization", Resource = "*" }] })
}

resource "aws_iam_organizations_features" "root" {
  enabled_features = ["RootCredentialsManagement"]
  depends_on       = [aws_organizations_organization.org]
}

resource "aws_iam_virtual_mfa_device" "ana" {
  virtual_mfa_device_name = "ana"
}

resource "aws_iam_user_login_profile" "ana" {
  user                    = aws_iam_user.ana.name
  password_reset_required = true
  password_length         = 24
  depends_on              = [aws_iam_account_password_policy.pp]
}

resource "aws_iam_service_specific_credential" "ana" {
  user_name    = aws_iam_user.ana.name
  service_name = "codecommit.amazonaws.com"
}

resource "aws_iam_server_certificate" "site" {
  name             = "site"
  certificate_body = file("certificate.pem")
  private_key      = file("key.pem")
}

resource "aws_iam_signing_certificate" "ana" {
  user_name        = aws_iam_user.ana.name
  certificate_body = file("certificate.pem")
}

data "aws_iam_policy" "audit" {
  name = "SecurityAudit"
}

resource "aws_iam_role" "auditor" {
  name               = "auditor"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { AWS = "*" }, Action = "sts:AssumeRole", Condition = { StringEquals = { "aws:PrincipalOrgID" = aws_organizations_organization.org.id } } }] })
}

resource "aws_iam_role_policy_attachments_exclusive" "auditor" {
  role_name   = aws_iam_role.auditor.name
  policy_arns = [data.aws_iam_policy.audit.arn]
}

data "aws_iam_principal_policy_simulation" "auditor" {
  action_names      = ["s3:GetBucketPolicy"]
  policy_source_arn = aws_iam_role.auditor.arn
  resource_arns     = ["arn:aws:s3:::any"]
  depends_on        = [aws_iam_role_policy_attachments_exclusive.auditor]
}

output "auditor_may_look" {
  value = data.aws_iam_principal_policy_simulation.auditor.all_allowed
}
