# In front of an app, in one instance with it. The app gets 80 requests at once; more wait.
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
  source = "../.."
  shape  = "sidecar"
  name   = "shop"
  region = "europe-west1"
  image  = "europe-west1-docker.pkg.dev/${var.project}/containers/pillion:v1"
  public = true

  app = {
    image = "europe-west1-docker.pkg.dev/${var.project}/containers/app:v1"
    port  = 9000
  }

  env = {
    LB_MAX_IN_FLIGHT = "80"
    LB_COMPRESS      = "zstd;gzip"
  }
}

output "url" {
  description = "Where the service answers."
  value       = module.shop.url
}
