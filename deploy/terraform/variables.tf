variable "shape" {
  description = "gateway: Pillion alone, in front of one or several services. sidecar: beside an app, in front of it. egress: beside an app, for the calls that the app makes."
  type        = string
  default     = "sidecar"

  validation {
    condition     = contains(["gateway", "sidecar", "egress"], var.shape)
    error_message = "The shape is gateway, sidecar or egress."
  }
}

variable "name" {
  description = "The name of the Cloud Run service."
  type        = string
}

variable "region" {
  description = "The region of the service."
  type        = string
}

variable "image" {
  description = "The image of Pillion. Cloud Run takes images of ghcr.io through a remote repository of Artifact Registry."
  type        = string
}

variable "env" {
  description = "Pillion's variables. The shape sidecar sets LB_BACKENDS to the app; the others need it, or LB_BACKENDS__NAME."
  type        = map(string)
  default     = {}
}

variable "secret_env" {
  description = "Pillion's variables from Secret Manager: the name of the variable, and its secret and version."
  type = map(object({
    secret  = string
    version = optional(string, "latest")
  }))
  default = {}
}

variable "session_affinity" {
  description = "Keeps sessions with a cookie. Its key is made and kept in Secret Manager."
  type        = bool
  default     = false
}

variable "app" {
  description = "The app of the shapes sidecar and egress. It listens on the port, which it gets as PORT."
  type = object({
    image  = string
    port   = optional(number, 9000)
    env    = optional(map(string), {})
    cpu    = optional(string, "1")
    memory = optional(string, "512Mi")
  })
  default = null
}

variable "http_proxy" {
  description = "Shape egress: the app gets http_proxy, so that http://NAME reaches the service of that name."
  type        = bool
  default     = false
}

variable "cpu" {
  description = "Pillion's CPU."
  type        = string
  default     = "1"
}

variable "memory" {
  description = "Pillion's memory."
  type        = string
  default     = "256Mi"
}

variable "min_instances" {
  description = "Instances that always run."
  type        = number
  default     = 0
}

variable "max_instances" {
  description = "Instances at most."
  type        = number
  default     = 10
}

variable "concurrency" {
  description = "Requests at once per instance. Pillion queues what the app cannot take yet (LB_MAX_IN_FLIGHT)."
  type        = number
  default     = 500
}

variable "timeout" {
  description = "How long a request or a WebSocket may last."
  type        = string
  default     = "3600s"
}

variable "ingress" {
  description = "Who reaches the service: INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY or INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER."
  type        = string
  default     = "INGRESS_TRAFFIC_ALL"
}

variable "public" {
  description = "Anybody may call the service, without a token of Google's."
  type        = bool
  default     = false
}

variable "invokes" {
  description = "Private Cloud Run services that Pillion may call, as their names and regions."
  type = map(object({
    service = string
    region  = string
  }))
  default = {}
}
