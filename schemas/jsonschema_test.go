package schemas

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func schemaPath(shape Shape) string {
	return filepath.Join("json", "insight-"+string(shape)+".schema.json")
}

func check(t *testing.T, shape Shape, doc []byte) error {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	schema, err := compiler.Compile(schemaPath(shape))
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	return schema.Validate(v)
}

func validate(t *testing.T, shape Shape, doc []byte) {
	t.Helper()
	if err := check(t, shape, doc); err != nil {
		t.Errorf("%s: %v\n%s", schemaPath(shape), err, doc)
	}
}

// Each shape has a valid and an invalid sample, written by hand: the invalid one differs in one place.
func TestSchemaSamples(t *testing.T) {
	for shape, want := range map[Shape]string{
		NativeShape:      "'/insightDetails/state'",
		ActionTrailShape: "'acsRegion'",
		CloudTrailShape:  "'/insightDetails/insightContext/attributions/0/insight'",
	} {
		for _, kind := range []string{"valid", "invalid"} {
			path := filepath.Join("testdata", "insight", string(shape)+"."+kind+".json")
			doc, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			err = check(t, shape, doc)
			if kind == "valid" && err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if kind == "invalid" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %v, want a complaint about %s", path, err, want)
			}
		}
	}
}

// Every field of the types is in the schemas and the reverse, required where it is always written.
func TestSchemasHaveTheFieldsOfTheTypes(t *testing.T) {
	for shape, typ := range map[Shape]reflect.Type{
		NativeShape:      reflect.TypeFor[Insight](),
		ActionTrailShape: reflect.TypeFor[actionTrailInsight](),
		CloudTrailShape:  reflect.TypeFor[cloudTrailInsight](),
	} {
		path := schemaPath(shape)
		inSchema := fieldsOfSchema(t, path, readSchema(t, path), "")
		if diff := cmp.Diff(fieldsOfType(typ, ""), inSchema); diff != "" {
			t.Errorf("%s (-type +schema):\n%s", path, diff)
		}
	}
}

// fieldsOfType lists the paths of a type's JSON fields, "!" behind those that are always written.
func fieldsOfType(typ reflect.Type, prefix string) (paths []string) {
	switch {
	case typ == reflect.TypeFor[Statistics]():
		typ = reflect.TypeFor[statisticsJSON]()
	case typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice:
		return fieldsOfType(typ.Elem(), prefix)
	}
	if typ.Kind() != reflect.Struct {
		return nil
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Anonymous {
			paths = append(paths, fieldsOfType(f.Type, prefix)...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		path := prefix + name
		if !strings.Contains(options, "omit") {
			path += "!"
		}
		paths = append(paths, path)
		paths = append(paths, fieldsOfType(f.Type, prefix+name+".")...)
	}
	slices.Sort(paths)
	return paths
}

type schemaNode struct {
	Ref        string                `json:"$ref"`
	Required   []string              `json:"required"`
	Properties map[string]schemaNode `json:"properties"`
	Items      *schemaNode           `json:"items"`
	Enum       []string              `json:"enum"`
}

func readSchema(t *testing.T, path string) (node schemaNode) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &node); err != nil {
		t.Fatal(err)
	}
	return node
}

func fieldsOfSchema(t *testing.T, path string, node schemaNode, prefix string) (paths []string) {
	t.Helper()
	if node.Ref != "" {
		path = filepath.Join(filepath.Dir(path), node.Ref)
		node = readSchema(t, path)
	}
	if node.Items != nil {
		return fieldsOfSchema(t, path, *node.Items, prefix)
	}
	for name, property := range node.Properties {
		field := prefix + name
		if slices.Contains(node.Required, name) {
			field += "!"
		}
		paths = append(paths, field)
		paths = append(paths, fieldsOfSchema(t, path, property, prefix+name+".")...)
	}
	slices.Sort(paths)
	return paths
}

func TestSchemasHaveTheValuesOfTheTypes(t *testing.T) {
	for _, shape := range Shapes() {
		details := readSchema(t, schemaPath(shape)).Properties["insightDetails"].Properties
		var types []string
		for _, typ := range InsightTypes() {
			types = append(types, string(typ))
		}
		if diff := cmp.Diff(types, details["insightType"].Enum); diff != "" {
			t.Errorf("%s: insightType (-type +schema):\n%s", shape, diff)
		}
		if diff := cmp.Diff([]string{string(StartState), string(EndState)}, details["state"].Enum); diff != "" {
			t.Errorf("%s: state (-type +schema):\n%s", shape, diff)
		}
	}
	reasons := []string{string(Cooled), string(NewNormal), string(MaxDuration), string(Silence), string(DayEnd), string(Restored),
		string(InputEnd), string(ModelChanged)}
	why := readSchema(t, filepath.Join("json", "why.schema.json"))
	if diff := cmp.Diff(reasons, why.Properties["endReason"].Enum); diff != "" {
		t.Errorf("endReason (-type +schema):\n%s", diff)
	}
}
