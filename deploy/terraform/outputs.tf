output "url" {
  description = "Where the service answers."
  value       = google_cloud_run_v2_service.pillion.uri
}

output "service_account" {
  description = "The account that the service runs as, for further rights."
  value       = google_service_account.pillion.email
}
