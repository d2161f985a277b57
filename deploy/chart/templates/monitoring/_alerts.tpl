{{- /*
Rules of a file, without those that are switched off, and with where their runbooks are: a dictionary of root, file, values (disabled
and runbookUrl) and the name of these values.
*/ -}}
{{- define "axoneme.alerts" -}}
{{- $disabled := .values.disabled -}}
{{- $url := .values.runbookUrl -}}
{{- $names := list -}}
{{- $groups := list -}}
{{- range (fromYaml (.root.Files.Get .file)).groups -}}
{{- $rules := list -}}
{{- range .rules -}}
{{- $names = append $names .alert -}}
{{- if not (has .alert $disabled) -}}
{{- if $url -}}
{{- $_ := set .annotations "runbook_url" (printf "%s#%s" $url (lower .alert)) -}}
{{- end -}}
{{- $rules = append $rules . -}}
{{- end -}}
{{- end -}}
{{- if $rules -}}
{{- $groups = append $groups (merge (dict "rules" $rules) (omit . "rules")) -}}
{{- end -}}
{{- end -}}
{{- range $disabled -}}
{{- if not (has . $names) -}}
{{- fail (printf "%s.disabled: there is no alert %s, only %s" $.name . (join ", " $names)) -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "groups" $groups) -}}
{{- end -}}
