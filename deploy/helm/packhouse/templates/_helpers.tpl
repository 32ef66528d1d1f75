{{- define "packhouse.labels" -}}
app.kubernetes.io/name: packhouse
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- define "packhouse.selector" -}}
app.kubernetes.io/name: packhouse
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "packhouse.onS3" -}}
{{- if hasKey .Values.settings "s3.bucket" }}yes{{ end }}
{{- end }}
