{{- define "pillion.name" -}}
{{- if contains "pillion" .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}{{ printf "%s-pillion" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "pillion.selector" -}}
app.kubernetes.io/name: pillion
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pillion.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "pillion.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "pillion.account" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create }}{{ include "pillion.name" . }}
{{- else }}default
{{- end }}
{{- end }}

{{- define "pillion.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What the shape itself sets; env counts before it. */}}
{{- define "pillion.env" -}}
{{- $own := dict "OTEL_SERVICE_NAME" (include "pillion.name" .) }}
{{- if eq .Values.shape "sidecar" }}
{{- $own = set $own "LB_BACKENDS" (printf ":%d" (int .Values.app.port)) }}
{{- else if eq .Values.shape "egress" }}
{{- $own = set $own "LB_ROLE" "egress" }}
{{- end }}
{{- $all := merge (dict) .Values.env $own }}
{{- range $name := keys $all | sortAlpha }}
{{- if not (hasKey $.Values.secretEnv $name) }}
- name: {{ $name }}
  value: {{ get $all $name | quote }}
{{- end }}
{{- end }}
{{- range $name := keys .Values.secretEnv | sortAlpha }}
{{- $from := get $.Values.secretEnv $name }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $from.name }}
      key: {{ $from.key }}
{{- end }}
{{- end }}

{{- define "pillion.container" -}}
- name: pillion
  image: {{ include "pillion.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if ne .Values.shape "gateway" }}
  restartPolicy: Always # makes it a sidecar: it starts first and stops last
  {{- end }}
  env:
    {{- include "pillion.env" . | trim | nindent 4 }}
  {{- if eq .Values.shape "egress" }}
  # It listens on loopback, where no probe of the kubelet reaches it.
  startupProbe:
    exec:
      command: [/pillion, healthcheck]
    periodSeconds: 1
    failureThreshold: 30
  {{- else }}
  ports:
    - name: http
      containerPort: {{ get .Values.env "PORT" | default "8080" | int }}
  startupProbe:
    httpGet:
      path: /.lb/started
      port: http
    periodSeconds: 1
    failureThreshold: 30
  readinessProbe:
    httpGet:
      path: /.lb/ready
      port: http
    periodSeconds: 2
  livenessProbe:
    httpGet:
      path: /.lb/live
      port: http
    periodSeconds: 10
  {{- end }}
  {{- with .Values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    seccompProfile:
      type: RuntimeDefault
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
  {{- with .Values.volumeMounts }}
  volumeMounts:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "pillion.app" -}}
- name: {{ .Values.app.name }}
  image: {{ required "the shapes sidecar and egress need app.image" .Values.app.image }}
  {{- with .Values.app.command }}
  command:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.app.args }}
  args:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  env:
    - name: PORT
      value: {{ .Values.app.port | int | quote }}
    {{- if and .Values.app.httpProxy (eq .Values.shape "egress") }}
    - name: http_proxy
      value: http://127.0.0.1:15001
    - name: no_proxy
      value: 127.0.0.1,localhost,kubernetes.default.svc,metadata.google.internal,169.254.169.254
    {{- end }}
    {{- with .Values.app.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.app.envFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - name: app
      containerPort: {{ .Values.app.port | int }}
  readinessProbe:
    {{- if .Values.app.readinessProbe }}
    {{- toYaml .Values.app.readinessProbe | nindent 4 }}
    {{- else }}
    tcpSocket:
      port: app
    periodSeconds: 2
    {{- end }}
  {{- with .Values.app.livenessProbe }}
  livenessProbe:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.app.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.app.securityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  # The app is told to stop first, Pillion last. Until the cluster has stopped sending, the app goes on.
  lifecycle:
    preStop:
      sleep:
        seconds: {{ .Values.app.stopDelaySeconds | int }}
{{- end }}
