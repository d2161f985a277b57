{{- /*
Values that upstream's chart has and this one does not fulfil, one sentence each. values-upstream.tsv says of every name of
upstream's what becomes of it, absent.tsv why what is missing is missing.
*/ -}}
{{- define "axoneme.refusals" -}}
{{- $reasons := dict -}}
{{- range splitList "\n" (.Files.Get "absent.tsv") -}}
{{- $row := splitList "\t" . -}}
{{- if eq (len $row) 2 }}{{ $_ := set $reasons (index $row 0) (index $row 1) }}{{ end -}}
{{- end -}}
{{- range splitList "\n" (.Files.Get "values-upstream.tsv") -}}
{{- $row := splitList "\t" . -}}
{{- if and (eq (len $row) 4) (has (index $row 1) (list "default" "refused")) -}}
{{- $name := index $row 0 -}}
{{- $value := $.Values -}}
{{- range splitList "." $name -}}
{{- if kindIs "map" $value }}{{ $value = get $value . }}{{ else }}{{ $value = "" }}{{ end -}}
{{- end -}}
{{- $isGiven := or (not (empty $value)) (has (kindOf $value) (list "bool" "int64" "float64")) -}}
{{- if $isGiven -}}
{{- $accepted := list -}}
{{- if eq (index $row 1) "default" }}{{ $accepted = fromJsonArray (index $row 2) }}{{ end -}}
{{- $isAccepted := false -}}
{{- range $accepted }}{{ if eq (toJson .) (toJson $value) }}{{ $isAccepted = true }}{{ end }}{{ end -}}
{{- if not $isAccepted }}
  {{ $name }}: {{ toJson $value }} is refused
  {{- with $accepted }}, {{ range $i, $one := . }}{{ if $i }} or {{ end }}{{ toJson $one }}{{ end }} would be accepted{{ end -}}
: {{ get $reasons (index $row 3) }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
