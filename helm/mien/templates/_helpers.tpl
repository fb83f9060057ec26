{{/* Names, labels and facts that follow from the configuration. */}}

{{- define "mien.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "mien.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "mien.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "mien.selector" -}}
app.kubernetes.io/name: {{ include "mien.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mien.labels" -}}
{{ include "mien.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "mien.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "mien.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The image of a component: dict "root" $ "gpu" its gpu section or nothing. */}}
{{- define "mien.image" -}}
{{- $image := .root.Values.image -}}
{{- $tag := default .root.Chart.AppVersion $image.tag -}}
{{- $gpu := default dict .gpu -}}
{{- if $gpu.enabled -}}
{{- printf "%s:%s" $image.repository (default (printf "%s-gpu" $tag) $gpu.imageTag) -}}
{{- else if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository $tag -}}
{{- end -}}
{{- end -}}

{{/* A key of a section of the configuration that may be absent: list $ "worker" "port" 9110 */}}
{{- define "mien.setting" -}}
{{- $section := default dict (get (index . 0).Values.config (index . 1)) -}}
{{- if hasKey $section (index . 2) -}}{{- get $section (index . 2) | toString -}}{{- else -}}{{- index . 3 | toString -}}{{- end -}}
{{- end -}}

{{- define "mien.port" -}}
{{- include "mien.setting" (list . "worker" "port" 9110) -}}
{{- end -}}

{{/* Seconds of a duration such as 1m30s, rounded up. */}}
{{- define "mien.seconds" -}}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+(ms|s|m|h|d)" . -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $sum = addf $sum (mulf (trimSuffix $unit . | float64) (get $units $unit)) -}}
{{- end -}}
{{- ceil $sum | int -}}
{{- end -}}

{{- define "mien.bootstrap" -}}
{{- $kafka := default dict .Values.config.kafka -}}
{{- required "config.kafka.bootstrap: missing; name the brokers, such as [\"kafka.data:9092\"]" $kafka.bootstrap | join "," -}}
{{- end -}}

{{- define "mien.topicPrefix" -}}
{{- include "mien.setting" (list . "kafka" "prefix" "mien") -}}
{{- end -}}

{{/* mien.yaml, as it is mounted. */}}
{{- define "mien.config" -}}
{{- $config := .Values.config -}}
{{- $why := "say who watches what, and why: mien does not start without a stated purpose" -}}
{{- $_ := required (printf "config.purpose: missing; %s" $why) $config.purpose -}}
{{- $_ := required "config.cameras: missing; at least one is needed" $config.cameras -}}
{{- $_ := include "mien.bootstrap" . -}}
{{- range .Values.secrets.env -}}
{{- if not (include "mien.asked" (dict "root" $ "name" .name "sections" (keys $config))) -}}
{{- fail (printf "secrets.env: nothing in config asks for %s; expected {env: %s} at a secret" .name .name) -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The components that run, as JSON. */}}
{{- define "mien.components" -}}
{{- $enabled := list -}}
{{- range list "capture" "analyze" "evaluate" "notify" -}}
{{- if and (get $.Values .).enabled (not (and $.Values.fused (eq . "capture"))) -}}{{- $enabled = append $enabled . -}}{{- end -}}
{{- end -}}
{{- toJson $enabled -}}
{{- end -}}

{{/* Whether a component reads cameras: dict "root" $ "role" "analyze" */}}
{{- define "mien.readsCameras" -}}
{{- if eq .role (ternary "analyze" "capture" .root.Values.fused) -}}yes{{- end -}}
{{- end -}}

{{/*
The sections whose secrets a component gets, as JSON: dict "root" $ "role" "analyze". The same as READS in
pipeline/config.py.
*/}}
{{- define "mien.reads" -}}
{{- $reads := dict "capture" (list "cameras" "kafka" "elasticsearch") "analyze" (list "kafka" "elasticsearch") -}}
{{- $reads = merge $reads (dict "evaluate" (list "kafka" "elasticsearch") "notify" (list "kafka" "elasticsearch" "sinks")) -}}
{{- $reads = merge $reads (dict "topics" (list "kafka") "dashboards" (list "grafana")) -}}
{{- $found := get $reads .role -}}
{{- if include "mien.readsCameras" . -}}{{- $found = append $found "cameras" | uniq -}}{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* The entries of a mapping with these keys, as JSON: dict "from" mapping "keys" list */}}
{{- define "mien.pick" -}}
{{- $picked := dict -}}
{{- range $key, $value := .from -}}{{- if has $key $.keys -}}{{- $_ := set $picked $key $value -}}{{- end -}}{{- end -}}
{{- toJson $picked -}}
{{- end -}}

{{/* Whether sections of the configuration ask for an environment variable: dict "root" $ "name" NAME "sections" list */}}
{{- define "mien.asked" -}}
{{- range .sections -}}
{{- $section := get $.root.Values.config . | toJson -}}
{{- if or (contains (printf "{\"env\":%s}" (toJson $.name)) $section) (hasPrefix (printf "MIEN_%s__" (upper .)) (upper $.name)) -}}
yes
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What decides about a restart. Rules are not in it: they are read again while the pods run. */}}
{{- define "mien.restartsWith" -}}
{{- omit .Values.config "rules" "rule_defaults" "signals" "groups" "schedules" "routing" "limits" | toJson | sha256sum -}}
{{- end -}}

{{/* How a component scales: lag, cpu or none. dict "root" $ "role" "analyze" */}}
{{- define "mien.scalesBy" -}}
{{- $by := (get .root.Values .role).autoscaling.by | default "none" -}}
{{- $fused := and .root.Values.fused (eq .role "analyze") -}}
{{- if and $fused (eq $by "lag") -}}
{{- fail "analyze.autoscaling.by: with fused: true no pictures wait in Kafka; expected cpu, auto or none, got lag" -}}
{{- else if and $fused (eq $by "auto") -}}
cpu
{{- else if eq $by "auto" -}}
{{- ternary "lag" "cpu" (.root.Capabilities.APIVersions.Has "keda.sh/v1alpha1") -}}
{{- else -}}
{{- $by -}}
{{- end -}}
{{- end -}}

{{/* The port of a URL or host:port, with that of its scheme where it names none. */}}
{{- define "mien.portOf" -}}
{{- $ports := dict "rtsp" "554" "rtsps" "322" "http" "80" "https" "443" -}}
{{- $scheme := regexFind "^[a-z]+" (lower .) -}}
{{- $named := regexFind ":[0-9]+([/?]|$)" (regexReplaceAll "^[a-zA-Z]+://" . "") -}}
{{- if $named -}}{{- regexFind "[0-9]+" $named -}}{{- else -}}{{- get $ports $scheme -}}{{- end -}}
{{- end -}}
