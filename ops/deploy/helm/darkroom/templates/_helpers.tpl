{{- define "darkroom.name" -}}
{{- $name := contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) -}}
{{- $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{/* Takes (dict "root" $ "role" "web"). */}}
{{- define "darkroom.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "darkroom.labels" -}}
{{ include "darkroom.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "darkroom.secretName" -}}
{{- .Values.existingSecret | default (include "darkroom.name" .) -}}
{{- end -}}

{{- define "darkroom.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* The metadata of pods: a change of settings or secrets replaces them. */}}
{{- define "darkroom.podMetadata" -}}
labels:
  {{- include "darkroom.labels" . | nindent 2 }}
annotations:
  checksum/config: {{ toJson .root.Values.config | sha256sum }}
  checksum/secrets: {{ toJson .root.Values.secrets | sha256sum }}
{{- end -}}

{{- define "darkroom.containerBase" -}}
image: {{ include "darkroom.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
envFrom:
  - configMapRef:
      name: {{ include "darkroom.name" .root }}
  - secretRef:
      name: {{ include "darkroom.secretName" .root }}
env:
  - name: DATA_DIR
    value: /data/darkroom
  - name: LIVENESS_FILE
    value: /tmp/darkroom-alive
  {{- with .drainGraceSeconds }}
  - name: DRAIN_GRACE_S
    value: {{ . | quote }}
  - name: STOP_TIMEOUT_S
    value: {{ add . 30 | quote }}
  {{- end }}
  {{- if and .root.Values.models.existingClaim (has .role (list "web" "background")) }}
  - name: MODELS_DIR
    value: /models
  {{- end }}
  {{- with .root.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: data
    mountPath: /data
  - name: tmp
    mountPath: /tmp
  {{- if eq .role "worker" }}
  - name: shared-memory
    mountPath: /dev/shm
  {{- end }}
  {{- if and .root.Values.models.existingClaim (has .role (list "web" "background")) }}
  - name: models
    mountPath: /models
    readOnly: true
  {{- end }}
{{- end -}}

{{/* The parts of a pod that all processes share. Migrations exclude each other, so each pod may run them first. */}}
{{- define "darkroom.podBase" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "darkroom.selector" . | nindent 8 }}
initContainers:
  - name: migrate
    args: [migrate]
    {{- include "darkroom.containerBase" . | nindent 4 }}
    resources:
      requests: {cpu: 100m, memory: 128Mi}
      limits: {memory: 512Mi}
volumes:
  # Keys, pictures and records are elsewhere: this is scratch space.
  - name: data
    emptyDir: {}
  - name: tmp
    emptyDir: {}
  {{- if eq .role "worker" }}
  - name: shared-memory
    emptyDir:
      medium: Memory
      sizeLimit: {{ .root.Values.worker.sharedMemory }}
  {{- end }}
  {{- if and .root.Values.models.existingClaim (has .role (list "web" "background")) }}
  - name: models
    persistentVolumeClaim:
      claimName: {{ .root.Values.models.existingClaim }}
      readOnly: true
  {{- end }}
{{- end -}}

{{/* Probes of processes without HTTP: they touch a file. A pod that is not ready is no reason to stop another. */}}
{{- define "darkroom.fileProbes" -}}
startupProbe:
  exec:
    command: [/opt/darkroom/ops/deploy/healthcheck]
  periodSeconds: 3
  timeoutSeconds: 5
  failureThreshold: 40
livenessProbe:
  exec:
    command: [/opt/darkroom/ops/deploy/healthcheck]
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}
