{{- define "trailvane.labels" -}}
app.kubernetes.io/name: trailvane
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "trailvane.selector" -}}
app.kubernetes.io/name: trailvane
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "trailvane.natsURLs" -}}
{{- if .Values.nats.bundled.enabled -}}
{{- $urls := list -}}
{{- range $i := until (int .Values.nats.bundled.replicas) -}}
{{- $urls = append $urls (printf "%s://%s-nats-%d.%s-nats.%s.svc:4222" (ternary "tls" "nats" (not (empty $.Values.secrets.serverTLS))) $.Release.Name $i $.Release.Name $.Release.Namespace) -}}
{{- end -}}
{{- join "," $urls -}}
{{- else -}}
{{- if not .Values.nats.urls }}{{ fail "nats.urls: name your NATS servers, or enable nats.bundled" }}{{ end -}}
{{- join "," .Values.nats.urls -}}
{{- end -}}
{{- end }}

{{- define "trailvane.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "trailvane.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* A pod of one service: root, name (of the workload), role, args, resources, and optionally env, http, once. */ -}}
{{- define "trailvane.pod" -}}
{{- $v := .root.Values -}}
automountServiceAccountToken: false
{{- with .serviceAccount }}
serviceAccountName: {{ . }}
{{- end }}
{{- with $v.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
terminationGracePeriodSeconds: 30
securityContext:
  {{- include "trailvane.podSecurity" . | nindent 2 }}
{{- with $v.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- if .once }}
restartPolicy: OnFailure
{{- else }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "trailvane.selector" . | nindent 8 }}
{{- end }}
containers:
  - name: trailvane
    image: {{ printf "%s:%s" $v.image.repository (default .root.Chart.AppVersion $v.image.tag) }}
    imagePullPolicy: {{ $v.image.pullPolicy }}
    args: {{ toJson .args }}
    securityContext:
      {{- include "trailvane.containerSecurity" . | nindent 6 }}
    env:
      - name: TRAILVANE_NATS
        value: {{ include "trailvane.natsURLs" .root | quote }}
      {{- if $v.secrets.credentials }}
      - name: TRAILVANE_CREDS
        value: /etc/trailvane/credentials/{{ .role }}.creds
      {{- end }}
      {{- if $v.secrets.ca }}
      - name: TRAILVANE_TLS_CA
        value: /etc/trailvane/ca/ca.pem
      {{- end }}
      {{- if not .once }}
      - name: TRAILVANE_LISTEN
        value: ":8080"
      - name: TRAILVANE_INSTANCE
        valueFrom: {fieldRef: {fieldPath: metadata.name}}
      {{- end }}
      {{- with $v.telemetry.endpoint }}
      - name: OTEL_EXPORTER_OTLP_ENDPOINT
        value: {{ . | quote }}
      {{- end }}
      {{- with $v.telemetry.tracesSamplerArg }}
      - name: OTEL_TRACES_SAMPLER_ARG
        value: {{ . | quote }}
      {{- end }}
      {{- with .env }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- if not .once }}
    ports:
      - {name: metrics, containerPort: 8080}
      {{- if .http }}
      - {name: events, containerPort: 8081}
      {{- end }}
    # The first start waits for NATS and for the deployment to be made.
    startupProbe:
      httpGet: {path: /healthz, port: metrics}
      periodSeconds: 2
      failureThreshold: 60
    livenessProbe:
      httpGet: {path: /healthz, port: metrics}
      periodSeconds: 10
      failureThreshold: 6
    readinessProbe:
      httpGet: {path: /readyz, port: metrics}
      periodSeconds: 5
    {{- end }}
    resources: {{ toYaml .resources | nindent 6 }}
    volumeMounts:
      {{- if $v.secrets.credentials }}
      - {name: credentials, mountPath: /etc/trailvane/credentials, readOnly: true}
      {{- end }}
      {{- if $v.secrets.ca }}
      - {name: ca, mountPath: /etc/trailvane/ca, readOnly: true}
      {{- end }}
      {{- if .http }}
      - {name: http-tokens, mountPath: /etc/trailvane/http, readOnly: true}
      {{- if $v.secrets.httpTLS }}
      - {name: http-tls, mountPath: /etc/trailvane/tls, readOnly: true}
      {{- end }}
      {{- end }}
      - {name: tmp, mountPath: /tmp}
volumes:
  {{- if $v.secrets.credentials }}
  - name: credentials
    secret:
      secretName: {{ $v.secrets.credentials }}
      items: [{key: {{ .role }}.creds, path: {{ .role }}.creds}]
  {{- end }}
  {{- if $v.secrets.ca }}
  - name: ca
    secret: {secretName: {{ $v.secrets.ca }}}
  {{- end }}
  {{- if .http }}
  - name: http-tokens
    secret: {secretName: {{ required "secrets.httpTokens: events by HTTP need a secret with http-tokens" $v.secrets.httpTokens }}}
  {{- with $v.secrets.httpTLS }}
  - name: http-tls
    secret: {secretName: {{ . }}}
  {{- end }}
  {{- end }}
  - name: tmp
    emptyDir: {sizeLimit: 16Mi}
{{- end }}

{{- /* All workloads, by name: the stage, its role, arguments, values and what its number is bounded by. */ -}}
{{- define "trailvane.workloads" -}}
{{- $v := .Values -}}
{{- $all := dict -}}
{{- $args := list "ingest" -}}
{{- if $v.ingest.http.enabled }}{{ $args = concat $args (list "--http" ":8081" "--http-token-file" "/etc/trailvane/http/http-tokens") }}
{{- if $v.secrets.httpTLS }}{{ $args = concat $args (list "--http-cert" "/etc/trailvane/tls/tls.crt" "--http-key" "/etc/trailvane/tls/tls.key") }}{{ end -}}
{{- end -}}
{{- $args = concat $args $v.ingest.paths -}}
{{- $_ := set $all "ingest" (dict "stage" "ingest" "role" "ingest" "args" $args "values" $v.ingest "http" $v.ingest.http.enabled "most" $v.deployment.lanes) -}}
{{- $_ := set $all "normalizer" (dict "stage" "normalizer" "role" "normalizer" "args" (list "normalizer") "values" $v.normalizer "most" $v.deployment.lanes) -}}
{{- $_ := set $all "aggregator" (dict "stage" "aggregator" "role" "aggregator" "args" (list "aggregator") "values" $v.aggregator "most" $v.deployment.partitions) -}}
{{- range $name, $types := $v.detectors.groups -}}
{{- $role := "admin" -}}
{{- if eq (len $types) 1 }}{{ $role = printf "detector-%s" (first $types) }}{{ end -}}
{{- $_ := set $all (printf "detector-%s" $name) (dict "stage" "detector" "role" $role "args" (list "detector" "--type" (join "," $types)) "values" $v.detectors "most" $v.deployment.partitions) -}}
{{- end -}}
{{- $_ := set $all "pairer" (dict "stage" "pairer" "role" "pairer" "args" (list "pairer") "values" $v.pairer "most" $v.deployment.partitions) -}}
{{- toYaml $all -}}
{{- end }}

{{- /* The stages of a workload as metrics name them. */ -}}
{{- define "trailvane.stages" -}}
{{- $types := dict "ak" "Ak" "apicallrate" "ApiCallRate" "apierrorrate" "ApiErrorRate" "ip" "Ip" "passwordchange" "PasswordChange" "policychange" "PolicyChange" "trailconcealment" "TrailConcealment" -}}
{{- if eq .stage "detector" -}}
{{- $stages := list -}}
{{- range splitList "," (last .args) }}{{ $stages = append $stages (printf "detector-%sInsight" (get $types .)) }}{{ end -}}
{{- toJson $stages -}}
{{- else -}}
{{- toJson (list .stage) -}}
{{- end -}}
{{- end }}

{{- /* A size as Kubernetes or Trailvane writes it, 512Mi or 100GB, in bytes. */ -}}
{{- define "trailvane.bytes" -}}
{{- $units := dict "" 1 "k" 1e3 "K" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $number := regexFind "^[0-9.]+" (toString .) -}}
{{- $unit := toString . | trimPrefix $number | trimSuffix "B" -}}
{{- if or (not $number) (not (hasKey $units $unit)) }}{{ fail (printf "%v is no size such as 512Mi" .) }}{{ end -}}
{{- mulf (float64 $number) (get $units $unit) | printf "%.0f" -}}
{{- end }}

{{- /* Which processes have more than 85 % of the memory that their containers may take, in PromQL. */ -}}
{{- define "trailvane.memoryAlert" -}}
{{- $parts := list -}}
{{- range $name, $w := include "trailvane.workloads" . | fromYaml -}}
{{- with dig "limits" "memory" "" $w.values.resources -}}
{{- $parts = append $parts (printf "process_resident_memory_bytes{app_kubernetes_io_component=%q} > 0.85 * %s" $name (include "trailvane.bytes" .)) -}}
{{- end -}}
{{- end -}}
{{- join "\nor " $parts | default "vector(0) > 1" -}}
{{- end }}
