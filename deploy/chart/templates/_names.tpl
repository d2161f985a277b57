{{- /* Names, labels and images that more than one object uses. */ -}}

{{- define "axoneme.namespace" -}}
{{ .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{- /* Where nodes tell what they have in force: agents may write leases here and nowhere else. The name is fixed in the programs. */ -}}
{{- define "axoneme.leaseNamespace" -}}
cilium-node-lease
{{- end }}

{{- define "axoneme.labels" -}}
{{ include "axoneme.podLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Those of pods change with values only: a new version of the chart alone restarts nothing. */ -}}
{{- define "axoneme.podLabels" -}}
app.kubernetes.io/part-of: cilium
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* (list context image): what is not said of an image is as the agent's. */ -}}
{{- define "axoneme.image" -}}
{{- $main := (index . 0).Values.image -}}
{{- $image := index . 1 -}}
{{- $override := $image.override | default (ternary $main.override "" (empty $image.repository)) -}}
{{- if $override -}}
{{ $override }}
{{- else -}}
{{- $name := $image.repository | default $main.repository -}}
{{- $tag := $image.tag | default $main.tag | default (index . 0).Chart.AppVersion -}}
{{- $digest := ternary (get $image "digest" | default "") "" (get $image "useDigest" | default false) -}}
{{ $name }}:{{ $tag }}{{ with $digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end }}

{{- /* (list context name fallback) */ -}}
{{- define "axoneme.priorityClass" -}}
{{- $values := (index . 0).Values -}}
{{- if index . 1 -}}
priorityClassName: {{ index . 1 }}
{{- else if $values.enableCriticalPriorityClass -}}
priorityClassName: {{ index . 2 }}
{{- end -}}
{{- end }}

{{- /* Where the API server is, for pods that start before services work. */ -}}
{{- define "axoneme.apiServerEnv" -}}
{{- $host := .Values.k8sServiceHost -}}
{{- $port := .Values.k8sServicePort -}}
{{- if eq $host "auto" -}}
{{- $namespace := .Values.k8sServiceLookupNamespace | default "kube-public" -}}
{{- $name := .Values.k8sServiceLookupConfigMapName | default "cluster-info" -}}
{{- $info := lookup "v1" "ConfigMap" $namespace $name -}}
{{- $kubeconfig := get (get ($info | default dict) "data" | default dict) "kubeconfig" | default "" -}}
{{- $clusters := get (fromYaml $kubeconfig) "clusters" | default list -}}
{{- if not $clusters -}}
{{- fail (printf "k8sServiceHost: auto reads the ConfigMap %s/%s, which is not there or names no cluster; give host and port instead" $namespace $name) -}}
{{- end -}}
{{- $url := urlParse (first $clusters).cluster.server -}}
{{- $host = regexReplaceAll ":[0-9]+$" $url.host "" | trimPrefix "[" | trimSuffix "]" -}}
{{- $port = regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default "443" -}}
{{- end -}}
{{- with .Values.k8sServiceHostRef -}}
{{- if and .name .key }}
- name: KUBERNETES_SERVICE_HOST
  valueFrom:
    configMapKeyRef:
      name: {{ .name }}
      key: {{ .key }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ $port | default "6443" | quote }}
{{- else if $host }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ $host | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ $port | default "6443" | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "axoneme.env" -}}
- name: K8S_NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: CILIUM_K8S_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- include "axoneme.apiServerEnv" . }}
{{- end }}

{{- /* Pools as the operator reads them: NAME=ipv4-cidrs:CIDR,…;ipv4-mask-size:N;…, with blanks between. */}}
{{- define "axoneme.pools" -}}
{{- $pools := list -}}
{{- range $name, $spec := . -}}
{{- $families := list -}}
{{- range $family := list "ipv4" "ipv6" -}}
{{- with get $spec $family -}}
{{- $families = append $families (printf "%s-cidrs:%s;%s-mask-size:%d" $family (join "," .cidrs) $family (int .maskSize)) -}}
{{- end -}}
{{- end -}}
{{- $pools = append $pools (printf "%s=%s" $name (join ";" $families)) -}}
{{- end -}}
{{- join " " $pools -}}
{{- end -}}

{{- /* Names of the ConfigMaps that agents read their settings from, as JSON. */ -}}
{{- define "axoneme.configMaps" -}}
{{- $names := list -}}
{{- range splitList "," (.Values.daemon.configSources | default "config-map:cilium-config") -}}
{{- $source := trim . -}}
{{- if hasPrefix "config-map:" $source -}}
{{- $names = append $names (trimPrefix "config-map:" $source | splitList "/" | last) -}}
{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end }}

{{- /* All that agents and operators read at their start and never again. */ -}}
{{- define "axoneme.flowMetrics" -}}
{{- $metrics := .Values.hubble.metrics -}}
{{- and .Values.hubble.enabled (or $metrics.enabled $metrics.dynamic.enabled) | not | not -}}
{{- end }}

{{- define "axoneme.startSettings" -}}
{{ include "axoneme.config" . }}
{{ toYaml .Values.extraConfig }}
{{- if .Values.etcd.enabled }}
{{ include "axoneme.etcd" . }}
{{- end }}
{{- end }}
