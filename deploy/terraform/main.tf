# The balancer in front of an app on Cloud Run, with the key of its session cookie in Secret Manager.
#
#   terraform init
#   terraform apply -var=project=my-project -var=lb_image=... -var=app_image=...

terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0"
    }
    random = {
      source  = "hashicorp/random"
      version = ">= 3.6"
    }
  }
}

variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "The region of the service."
  type        = string
  default     = "europe-west1"
}

variable "lb_image" {
  description = "The image of the balancer."
  type        = string
}

variable "app_image" {
  description = "The image of the app. It listens on $PORT."
  type        = string
}

provider "google" {
  project = var.project
  region  = var.region
}

resource "google_service_account" "shop" {
  account_id   = "shop-lb"
  display_name = "The shop and its balancer"
}

resource "random_password" "affinity" {
  length  = 32
  special = false
}

resource "google_secret_manager_secret" "affinity" {
  secret_id = "lb-affinity"
  replication {
    auto {}
  }
}

resource "google_secret_manager_secret_version" "affinity" {
  secret      = google_secret_manager_secret.affinity.id
  secret_data = random_password.affinity.result
}

resource "google_secret_manager_secret_iam_member" "affinity" {
  secret_id = google_secret_manager_secret.affinity.id
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${google_service_account.shop.email}"
}

resource "google_cloud_run_v2_service" "shop" {
  name     = "shop"
  location = var.region
  ingress  = "INGRESS_TRAFFIC_ALL"

  template {
    service_account                  = google_service_account.shop.email
    timeout                          = "3600s"
    max_instance_request_concurrency = 500
    session_affinity                 = true

    containers {
      name       = "lb"
      image      = var.lb_image
      depends_on = ["app"]
      ports {
        name           = "http1"
        container_port = 8080
      }
      env {
        name  = "LB_BACKENDS"
        value = ":9000"
      }
      env {
        name  = "LB_SESSION_AFFINITY"
        value = "cookie"
      }
      env {
        name = "LB_AFFINITY_SECRET"
        value_source {
          secret_key_ref {
            secret  = google_secret_manager_secret.affinity.secret_id
            version = "latest"
          }
        }
      }
      resources {
        # Without this line, naming resources would turn throttling off, and the bill up.
        cpu_idle = true
        limits = {
          cpu    = "1"
          memory = "256Mi"
        }
      }
      startup_probe {
        period_seconds    = 1
        failure_threshold = 30
        http_get {
          path = "/.lb/started"
          port = 8080
        }
      }
      liveness_probe {
        period_seconds = 10
        http_get {
          path = "/.lb/live"
          port = 8080
        }
      }
    }

    containers {
      name  = "app"
      image = var.app_image
      env {
        name  = "PORT"
        value = "9000"
      }
      resources {
        cpu_idle = true
        limits = {
          cpu    = "1"
          memory = "512Mi"
        }
      }
      startup_probe {
        period_seconds    = 1
        failure_threshold = 60
        tcp_socket {
          port = 9000
        }
      }
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.affinity, google_secret_manager_secret_version.affinity]
}

# Anybody may call the service. Leave this out for a private one.
resource "google_cloud_run_v2_service_iam_member" "public" {
  name     = google_cloud_run_v2_service.shop.name
  location = google_cloud_run_v2_service.shop.location
  role     = "roles/run.invoker"
  member   = "allUsers"
}

output "url" {
  description = "Where the service answers."
  value       = google_cloud_run_v2_service.shop.uri
}
