terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

# Endpoint, credentials, region and authority come from the environment.
provider "aws" {
  s3_use_path_style       = true
  skip_metadata_api_check = true
}

data "aws_caller_identity" "me" {}

resource "aws_kms_key" "k" {
  description             = "models"
  enable_key_rotation     = true
  rotation_period_in_days = 180
  deletion_window_in_days = 7
  tags                    = { team = "models" }
  policy = jsonencode({ Version = "2012-10-17", Statement = [
    { Sid = "root", Effect = "Allow", Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:root" }, Action = "kms:*", Resource = "*" },
    { Sid = "trail", Effect = "Allow", Principal = { Service = "cloudtrail.amazonaws.com" }, Action = ["kms:GenerateDataKey*", "kms:DescribeKey"], Resource = "*" },
  { Sid = "logs", Effect = "Allow", Principal = { Service = "logs.us-east-1.amazonaws.com" }, Action = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"], Resource = "*" }] })
}

resource "aws_kms_alias" "k" {
  name          = "alias/models"
  target_key_id = aws_kms_key.k.key_id
}

resource "aws_kms_grant" "g" {
  name              = "g"
  key_id            = aws_kms_key.k.key_id
  grantee_principal = aws_iam_role.trail.arn
  operations        = ["Encrypt", "Decrypt"]
}

resource "aws_s3_bucket" "b" {
  bucket        = "models-tf"
  force_destroy = true
  tags          = { team = "models" }
}

resource "aws_s3_bucket_versioning" "b" {
  bucket = aws_s3_bucket.b.id
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "b" {
  bucket = aws_s3_bucket.b.id
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      kms_master_key_id = aws_kms_key.k.arn
      sse_algorithm     = "aws:kms"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "b" {
  bucket                  = aws_s3_bucket.b.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "b" {
  bucket = aws_s3_bucket.b.id
  rule { object_ownership = "BucketOwnerEnforced" }
}

resource "aws_s3_object" "o" {
  bucket     = aws_s3_bucket.b.id
  key        = "weights/a.txt"
  content    = "hello"
  depends_on = [aws_s3_bucket_server_side_encryption_configuration.b, aws_s3_bucket_versioning.b]
}

resource "aws_s3_bucket" "t" {
  bucket        = "trail-tf"
  force_destroy = true
}

resource "aws_s3_bucket_policy" "t" {
  bucket = aws_s3_bucket.t.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [
    { Sid = "acl", Effect = "Allow", Principal = { Service = "cloudtrail.amazonaws.com" }, Action = "s3:GetBucketAcl", Resource = aws_s3_bucket.t.arn },
  { Sid = "put", Effect = "Allow", Principal = { Service = "cloudtrail.amazonaws.com" }, Action = "s3:PutObject", Resource = "${aws_s3_bucket.t.arn}/AWSLogs/*", Condition = { StringEquals = { "s3:x-amz-acl" = "bucket-owner-full-control" } } }] })
}

resource "aws_cloudwatch_log_group" "l" {
  name              = "/trail/tf"
  retention_in_days = 30
  kms_key_id        = aws_kms_key.k.arn
}

resource "aws_iam_role" "trail" {
  name               = "trail"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { Service = "cloudtrail.amazonaws.com" }, Action = "sts:AssumeRole" }] })
}

resource "aws_sns_topic" "s" {
  name = "trail"
}

resource "aws_sns_topic_policy" "s" {
  arn    = aws_sns_topic.s.arn
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { Service = "cloudtrail.amazonaws.com" }, Action = "SNS:Publish", Resource = aws_sns_topic.s.arn }] })
}

resource "aws_cloudtrail" "t" {
  name                       = "main"
  s3_bucket_name             = aws_s3_bucket.t.id
  is_multi_region_trail      = true
  enable_log_file_validation = true
  kms_key_id                 = aws_kms_key.k.arn
  sns_topic_name             = aws_sns_topic.s.name
  cloud_watch_logs_group_arn = "${aws_cloudwatch_log_group.l.arn}:*"
  cloud_watch_logs_role_arn  = aws_iam_role.trail.arn
  advanced_event_selector {
    name = "data"
    field_selector {
      field  = "eventCategory"
      equals = ["Data"]
    }
    field_selector {
      field  = "resources.type"
      equals = ["AWS::S3::Object"]
    }
  }
  advanced_event_selector {
    name = "m"
    field_selector {
      field  = "eventCategory"
      equals = ["Management"]
    }
  }
  insight_selector { insight_type = "ApiCallRateInsight" }
  depends_on = [aws_s3_bucket_policy.t, aws_sns_topic_policy.s, aws_iam_role_policy.trail]
}

resource "aws_cloudtrail_event_data_store" "e" {
  name                           = "lake"
  retention_period               = 30
  termination_protection_enabled = false
}

resource "aws_accessanalyzer_analyzer" "a" {
  analyzer_name = "main"
  type          = "ACCOUNT"
}

resource "aws_bedrock_guardrail" "g" {
  name                      = "chat"
  blocked_input_messaging   = "no"
  blocked_outputs_messaging = "no"
  description               = "guards the chat"
  content_policy_config {
    filters_config {
      type            = "PROMPT_ATTACK"
      input_strength  = "HIGH"
      output_strength = "NONE"
    }
    filters_config {
      type            = "HATE"
      input_strength  = "MEDIUM"
      output_strength = "MEDIUM"
    }
  }
  sensitive_information_policy_config {
    pii_entities_config {
      type   = "EMAIL"
      action = "ANONYMIZE"
    }
    regexes_config {
      name        = "ticket"
      description = "numbers of tickets"
      pattern     = "T-[0-9]{6}"
      action      = "BLOCK"
    }
  }
  topic_policy_config {
    topics_config {
      name       = "finance"
      definition = "advice on investments"
      type       = "DENY"
      examples   = ["Which shares should I buy?"]
    }
  }
  word_policy_config {
    managed_word_lists_config { type = "PROFANITY" }
    words_config { text = "secretword" }
  }
}

resource "aws_bedrock_guardrail_version" "v" {
  guardrail_arn = aws_bedrock_guardrail.g.guardrail_arn
  description   = "first"
}

resource "aws_bedrock_model_invocation_logging_configuration" "l" {
  depends_on = [aws_s3_bucket_policy.inv]
  logging_config {
    text_data_delivery_enabled      = true
    embedding_data_delivery_enabled = true
    image_data_delivery_enabled     = false
    s3_config {
      bucket_name = aws_s3_bucket.b.id
      key_prefix  = "inv"
    }
  }
}

resource "aws_s3_bucket_policy" "inv" {
  bucket = aws_s3_bucket.b.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { Service = "bedrock.amazonaws.com" }, Action = "s3:PutObject", Resource = "${aws_s3_bucket.b.arn}/*" }] })
}

resource "aws_rolesanywhere_profile" "p" {
  name      = "hosts"
  role_arns = [aws_iam_role.trail.arn]
  enabled   = true
}

resource "aws_iam_role_policy" "trail" {
  name   = "logs"
  role   = aws_iam_role.trail.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = "*" }] })
}
