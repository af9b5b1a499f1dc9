# Pillion on Cloud Run, in one of three shapes: see README.md and examples/.

locals {
  app   = var.shape == "gateway" ? [] : [var.app]
  front = var.shape != "egress" # Pillion takes the requests of the service

  env = merge(
    var.shape == "sidecar" ? { LB_BACKENDS = ":${var.app.port}" } : {},
    var.shape == "egress" ? { LB_ROLE = "egress" } : {},
    var.session_affinity ? { LB_SESSION_AFFINITY = "cookie" } : {},
    var.env,
  )

  secret_env = merge(var.secret_env, var.session_affinity ? {
    LB_AFFINITY_SECRET = {
      secret  = google_secret_manager_secret.affinity[0].secret_id
      version = "latest"
    }
  } : {})

  app_env = merge(
    local.front ? { PORT = tostring(try(var.app.port, 9000)) } : {}, # Cloud Run sets it for the container with the port
    var.http_proxy && var.shape == "egress" ? {
      http_proxy = "http://127.0.0.1:15001"
      no_proxy   = "metadata.google.internal,169.254.169.254"
    } : {},
    try(var.app.env, {}),
  )
}

resource "google_service_account" "pillion" {
  account_id   = "${var.name}-lb"
  display_name = "The service ${var.name} and its balancer"
}

resource "random_password" "affinity" {
  count   = var.session_affinity ? 1 : 0
  length  = 32
  special = false
}

resource "google_secret_manager_secret" "affinity" {
  count     = var.session_affinity ? 1 : 0
  secret_id = "${var.name}-lb-affinity"
  replication {
    auto {}
  }
}

resource "google_secret_manager_secret_version" "affinity" {
  count       = var.session_affinity ? 1 : 0
  secret      = google_secret_manager_secret.affinity[0].id
  secret_data = random_password.affinity[0].result
}

resource "google_secret_manager_secret_iam_member" "affinity" {
  count     = var.session_affinity ? 1 : 0
  secret_id = google_secret_manager_secret.affinity[0].id
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${google_service_account.pillion.email}"
}

resource "google_secret_manager_secret_iam_member" "env" {
  for_each  = var.secret_env
  secret_id = each.value.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${google_service_account.pillion.email}"
}

resource "google_cloud_run_v2_service" "pillion" {
  name     = var.name
  location = var.region
  ingress  = var.ingress

  template {
    service_account                  = google_service_account.pillion.email
    timeout                          = var.timeout
    max_instance_request_concurrency = var.concurrency
    session_affinity                 = var.session_affinity

    scaling {
      min_instance_count = var.min_instances
      max_instance_count = var.max_instances
    }

    containers {
      name       = "pillion"
      image      = var.image
      depends_on = var.shape == "sidecar" ? ["app"] : []
      dynamic "ports" {
        for_each = local.front ? [8080] : []
        content {
          name           = "http1"
          container_port = ports.value
        }
      }
      dynamic "env" {
        for_each = local.env
        content {
          name  = env.key
          value = env.value
        }
      }
      dynamic "env" {
        for_each = local.secret_env
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value.secret
              version = env.value.version
            }
          }
        }
      }
      resources {
        # Without this line, naming resources would turn throttling off, and the bill up.
        cpu_idle = true
        limits = {
          cpu    = var.cpu
          memory = var.memory
        }
      }
      startup_probe {
        period_seconds    = 1
        failure_threshold = 30
        http_get {
          path = "/.lb/started"
          port = local.front ? 8080 : 15001
        }
      }
      dynamic "liveness_probe" {
        for_each = local.front ? [8080] : []
        content {
          period_seconds = 10
          http_get {
            path = "/.lb/live"
            port = liveness_probe.value
          }
        }
      }
    }

    dynamic "containers" {
      for_each = local.app
      content {
        name       = "app"
        image      = containers.value.image
        depends_on = local.front ? [] : ["pillion"]
        dynamic "ports" {
          for_each = local.front ? [] : [containers.value.port]
          content {
            name           = "http1"
            container_port = ports.value
          }
        }
        dynamic "env" {
          for_each = local.app_env
          content {
            name  = env.key
            value = env.value
          }
        }
        resources {
          cpu_idle = true
          limits = {
            cpu    = containers.value.cpu
            memory = containers.value.memory
          }
        }
        startup_probe {
          period_seconds    = 1
          failure_threshold = 60
          tcp_socket {
            port = containers.value.port
          }
        }
      }
    }
  }

  lifecycle {
    precondition {
      condition     = var.shape == "gateway" || var.app != null
      error_message = "The shapes sidecar and egress need an app."
    }
    precondition {
      condition     = var.shape == "sidecar" || anytrue([for name in concat(keys(var.env), keys(var.secret_env)) : startswith(name, "LB_BACKENDS")])
      error_message = "The shapes gateway and egress need LB_BACKENDS or LB_BACKENDS__NAME."
    }
  }

  depends_on = [
    google_secret_manager_secret_iam_member.affinity,
    google_secret_manager_secret_iam_member.env,
    google_secret_manager_secret_version.affinity,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "public" {
  count    = var.public ? 1 : 0
  name     = google_cloud_run_v2_service.pillion.name
  location = google_cloud_run_v2_service.pillion.location
  role     = "roles/run.invoker"
  member   = "allUsers"
}

resource "google_cloud_run_v2_service_iam_member" "invokes" {
  for_each = var.invokes
  name     = each.value.service
  location = each.value.region
  role     = "roles/run.invoker"
  member   = "serviceAccount:${google_service_account.pillion.email}"
}
