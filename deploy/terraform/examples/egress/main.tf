# Beside an app, for the calls that it makes: http://payments and http://mail are the names of services for it.
#
#   terraform init
#   terraform apply -var=project=my-project

variable "project" {
  description = "The project's id."
  type        = string
}

provider "google" {
  project = var.project
  region  = "europe-west1"
}

module "shop" {
  source     = "../.."
  shape      = "egress"
  name       = "shop"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/${var.project}/containers/pillion:v1"
  public     = true
  http_proxy = true

  app = {
    image = "europe-west1-docker.pkg.dev/${var.project}/containers/app:v1"
    port  = 8080
  }

  env = {
    LB_BACKENDS__PAYMENTS = "run://payments;run://payments.us-central1"
    LB_ROUTE__PAYMENTS    = "//payments"
    LB_BACKENDS__MAIL     = "run://mail"
    LB_ROUTE__MAIL        = "//mail"
  }

  invokes = {
    payments    = { service = "payments", region = "europe-west1" }
    payments_us = { service = "payments", region = "us-central1" }
    mail        = { service = "mail", region = "europe-west1" }
  }
}

output "url" {
  description = "Where the app answers."
  value       = module.shop.url
}
