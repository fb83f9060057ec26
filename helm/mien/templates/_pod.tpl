{{/*
The pod of one component. dict "root" $ "role" "analyze" "values" .Values.analyze "command" (list "worker" ...)
Optional: "job" true for a pod that ends; "config" the name of another ConfigMap; "claim" the name of a disk.
*/}}
{{- define "mien.pod" -}}
{{- $root := .root -}}
{{- $values := .values -}}
{{- $gpu := default dict $values.gpu -}}
{{- $reads := include "mien.reads" . | fromJsonArray -}}
metadata:
  labels:
    {{- include "mien.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
  annotations:
    checksum/config: {{ include "mien.restartsWith" $root }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ ternary "default" (include "mien.serviceAccount" $root) (default false .job) }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- toYaml $root.Values.podSecurityContext | nindent 4 }}
  {{- if .job }}
  restartPolicy: Never
  {{- else }}
  # mien ends by itself within worker.stop_within; the rest is for the container to come down
  terminationGracePeriodSeconds: {{ add 10 (include "mien.seconds" (include "mien.setting" (list $root "worker" "stop_within" "8s")) | int) }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if and $gpu.enabled $gpu.runtimeClassName }}
  runtimeClassName: {{ $gpu.runtimeClassName }}
  {{- end }}
  {{- with merge (dict) (default dict $values.nodeSelector) (ternary (default dict $gpu.nodeSelector) dict (default false $gpu.enabled)) }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with concat (default list $values.tolerations) (ternary (default list $gpu.tolerations) list (default false $gpu.enabled)) }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not .job }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "mien.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ .role }}
  {{- end }}
  containers:
    - name: {{ .role }}
      image: {{ include "mien.image" (dict "root" $root "gpu" $gpu) | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: {{ concat .command (list "-c" "/etc/mien/mien.yaml") | toJson }}
      workingDir: /var/lib/mien
      env:
        - {name: MIEN_WORKER__HOST, value: "0.0.0.0"}
        {{- if $gpu.enabled }}
        - {name: MIEN_MODELS__DEVICE, value: {{ $gpu.device | quote }}}
        {{- end }}
        {{- range $root.Values.secrets.env }}
        {{- if include "mien.asked" (dict "root" $root "name" .name "sections" $reads) }}
        - name: {{ .name }}
          valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}}
        {{- end }}
        {{- end }}
        {{- if include "mien.pick" (dict "from" $root.Values.secrets.files "keys" $reads) | fromJson }}
        - {name: MIEN_SECRETS_DIR, value: /run/secrets/mien}
        {{- end }}
        {{- with $root.Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if not .job }}
      ports:
        - {name: health, containerPort: {{ include "mien.port" $root }}, protocol: TCP}
      # alive: the process makes progress, or has nothing to do; it ends itself when it doesn't (worker.stalled_after)
      startupProbe: {httpGet: {path: /healthz, port: health}, periodSeconds: 5, timeoutSeconds: 3, failureThreshold: 36}
      livenessProbe: {httpGet: {path: /healthz, port: health}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3}
      readinessProbe: {httpGet: {path: /readyz, port: health}, periodSeconds: 5, timeoutSeconds: 3, failureThreshold: 2}
      {{- end }}
      {{- $resources := deepCopy (default dict $values.resources) }}
      {{- if $gpu.enabled }}
      {{- $resources = mergeOverwrite $resources (dict "limits" (dict $gpu.resource $gpu.count)) }}
      {{- end }}
      resources:
        {{- toYaml $resources | nindent 8 }}
      securityContext:
        {{- toYaml $root.Values.securityContext | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/mien, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        - {name: data, mountPath: /var/lib/mien}
        {{- range $section, $_ := include "mien.pick" (dict "from" $root.Values.secrets.files "keys" $reads) | fromJson }}
        - {name: secrets-{{ $section }}, mountPath: /run/secrets/mien/{{ $section }}, readOnly: true}
        {{- end }}
        {{- with $root.Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - {name: config, configMap: {name: {{ default (include "mien.fullname" $root) .config }}}}
    - {name: tmp, emptyDir: {sizeLimit: 1Gi}}
    {{- if .claim }}
    - {name: data, persistentVolumeClaim: {claimName: {{ .claim }}}}
    {{- else }}
    - {name: data, emptyDir: {sizeLimit: 1Gi}}
    {{- end }}
    {{- range $section, $secret := include "mien.pick" (dict "from" $root.Values.secrets.files "keys" $reads) | fromJson }}
    - {name: secrets-{{ $section }}, secret: {secretName: {{ $secret }}, defaultMode: 0440}}
    {{- end }}
    {{- with $root.Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
