module github.com/trailvane/trailvane/test

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/tidwall/gjson v1.20.1
	github.com/trailvane/trailvane/pipeline v0.0.0
	github.com/trailvane/trailvane/schemas v0.0.0
	pgregory.net/rapid v1.3.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.2.0 // indirect
	github.com/vmihailenco/msgpack/v5 v5.4.1 // indirect
	github.com/vmihailenco/tagparser/v2 v2.0.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace (
	github.com/trailvane/trailvane/pipeline => ../pipeline
	github.com/trailvane/trailvane/schemas => ../schemas
	github.com/trailvane/trailvane/services => ../services
)
