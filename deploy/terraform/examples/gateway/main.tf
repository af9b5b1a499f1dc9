# One URL for several private services: /api/* goes to the service api, in two regions, the rest to ui. Sessions stay.
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

module "gateway" {
  source           = "../.."
  shape            = "gateway"
  name             = "gateway"
  region           = "europe-west1"
  image            = "europe-west1-docker.pkg.dev/${var.project}/containers/pillion:v1"
  public           = true
  session_affinity = true

  env = {
    LB_BACKENDS      = "run://ui"
    LB_BACKENDS__API = "run://api.europe-west1;run://api.us-central1"
    LB_ROUTE__API    = "/api/*"
  }

  invokes = {
    ui     = { service = "ui", region = "europe-west1" }
    api    = { service = "api", region = "europe-west1" }
    api_us = { service = "api", region = "us-central1" }
  }
}

output "url" {
  description = "Where the gateway answers."
  value       = module.gateway.url
}
