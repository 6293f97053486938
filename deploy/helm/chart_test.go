// Package helm tests the chart: what it renders is what Kubernetes takes, field by field, what Trailvane takes, flag by flag, and no
// more open than it has to be. Nothing is installed.
package helm

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// types are those that the chart may render, but for the Prometheus operator's, which has no types here.
var types = map[string]func() meta.Object{
	"apps/v1 Deployment":                      func() meta.Object { return new(apps.Deployment) },
	"apps/v1 StatefulSet":                     func() meta.Object { return new(apps.StatefulSet) },
	"batch/v1 Job":                            func() meta.Object { return new(batch.Job) },
	"v1 Service":                              func() meta.Object { return new(core.Service) },
	"v1 ConfigMap":                            func() meta.Object { return new(core.ConfigMap) },
	"policy/v1 PodDisruptionBudget":           func() meta.Object { return new(policy.PodDisruptionBudget) },
	"autoscaling/v2 HorizontalPodAutoscaler":  func() meta.Object { return new(autoscaling.HorizontalPodAutoscaler) },
	"networking.k8s.io/v1 NetworkPolicy":      func() meta.Object { return new(networking.NetworkPolicy) },
	"monitoring.coreos.com/v1 PodMonitor":     func() meta.Object { return new(unstructured.Unstructured) },
	"monitoring.coreos.com/v1 PrometheusRule": func() meta.Object { return new(unstructured.Unstructured) },
}

// cases are values as users would set them.
var cases = map[string]string{
	"external":    "{nats: {urls: ['nats://n1:4222', 'nats://n2:4222']}, secrets: {httpTokens: tokens}}",
	"credentials": "{nats: {urls: ['tls://n1:4222']}, secrets: {credentials: creds, ca: ca, httpTokens: tokens, httpTLS: tls}}",
	"bundled":     "{nats: {bundled: {enabled: true}}, secrets: {httpTokens: tokens, credentials: creds, serverAuth: auth, serverTLS: nats, ca: ca}, podMonitor: {enabled: true, labels: {release: stack}}, prometheusRule: {enabled: true, labels: {release: stack}}}",
	"open":        "{nats: {bundled: {enabled: true}}, secrets: {httpTokens: tokens}, networkPolicies: {clients: [], monitoring: []}}",
	"one node":    "{nats: {bundled: {enabled: true, replicas: 1, storageClass: fast}}, deployment: {replicas: 1}, secrets: {httpTokens: tokens, credentials: creds, serverAuth: auth}}",
	"bucket":      "{nats: {urls: ['nats://n1:4222']}, ingest: {http: {enabled: false}, paths: ['s3://logs/AWSLogs'], env: [{name: AWS_REGION, value: eu-central-1}], serviceAccount: reader}}",
	"grouped":     "{nats: {urls: ['nats://n1:4222']}, secrets: {httpTokens: tokens}, detectors: {groups: {rates: [apicallrate, apierrorrate, ak], rest: [ip, passwordchange, policychange, trailconcealment], ak: null, apicallrate: null, apierrorrate: null, ip: null, passwordchange: null, policychange: null, trailconcealment: null}}}",
	"scaling":     "{nats: {urls: ['nats://n1:4222']}, secrets: {httpTokens: tokens}, scaling: {enabled: true, max: 32}, deployment: {partitions: 12, lanes: 4}}",
	"bare":        "{nats: {urls: ['nats://n1:4222']}, secrets: {httpTokens: tokens}, disruptionBudgets: {enabled: false}, networkPolicies: {enabled: false}}",
	"placed":      "{nats: {urls: ['nats://n1:4222']}, secrets: {httpTokens: tokens}, nodeSelector: {a: b}, tolerations: [{key: x, operator: Exists}], image: {tag: '1', pullSecrets: [p]}, telemetry: {endpoint: 'http://c:4317', tracesSamplerArg: '1'}, affinity: {nodeAffinity: {}}}",
}

// release is what is rendered, if a test does not say otherwise.
var release = chartutil.ReleaseOptions{Name: "watch", Namespace: "security", Revision: 3, IsUpgrade: true}

// render returns the objects of a release, each decoded strictly: a field that Kubernetes does not know is an error.
func render(values string) (objects []meta.Object, notes string, err error) {
	return renderAs(release, values)
}

func renderAs(release chartutil.ReleaseOptions, values string) (objects []meta.Object, notes string, err error) {
	chart, err := loader.Load("trailvane")
	if err != nil {
		return nil, "", err
	}
	given, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		return nil, "", err
	}
	all, err := chartutil.ToRenderValues(chart, given, release, nil)
	if err != nil {
		return nil, "", err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return nil, "", err
	}
	for name, content := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			notes = content
			continue
		}
		for _, doc := range regexp.MustCompile(`(?m)^---\s*$`).Split(content, -1) {
			var kind meta.TypeMeta
			if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
				return nil, "", fmt.Errorf("%s: %w\n%s", name, err, doc)
			}
			if kind.Kind == "" {
				continue
			}
			make, ok := types[kind.APIVersion+" "+kind.Kind]
			if !ok {
				return nil, "", fmt.Errorf("%s renders a %s %s", name, kind.APIVersion, kind.Kind)
			}
			o := make()
			decode := yaml.UnmarshalStrict
			if _, ok := o.(*unstructured.Unstructured); ok {
				decode = func(b []byte, o any, _ ...yaml.JSONOpt) error { return yaml.Unmarshal(b, o) }
			}
			if err := decode([]byte(doc), o); err != nil {
				return nil, "", fmt.Errorf("%s: %w\n%s", name, err, doc)
			}
			objects = append(objects, o)
		}
	}
	return objects, notes, nil
}

func mustRender(t *testing.T, values string) []meta.Object {
	t.Helper()
	objects, notes, err := render(values)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(notes, "trailvane tail") {
		t.Errorf("the notes do not say how to go on:\n%s", notes)
	}
	return objects
}

// pods returns the pod templates by the name of their workload.
func pods(objects []meta.Object) map[string]core.PodTemplateSpec {
	all := make(map[string]core.PodTemplateSpec)
	for _, o := range objects {
		switch o := o.(type) {
		case *apps.Deployment:
			all[o.Name] = o.Spec.Template
		case *apps.StatefulSet:
			all[o.Name] = o.Spec.Template
		case *batch.Job:
			all[o.Name] = o.Spec.Template
		}
	}
	return all
}

func TestEveryStageHasAWorkload(t *testing.T) {
	compose, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var want []string // detectors of the compose file, which another test holds to those that there are
	for _, m := range regexp.MustCompile(`detector, --type, (\w+)`).FindAllStringSubmatch(string(compose), -1) {
		want = append(want, m[1])
	}
	slices.Sort(want)
	for name, values := range cases {
		var types, stages []string
		for _, p := range pods(mustRender(t, values)) {
			if args := p.Spec.Containers[0].Args; args[0] == "detector" {
				types = append(types, strings.Split(args[2], ",")...)
			} else if !strings.HasPrefix(args[0], "-") {
				stages = append(stages, args[0])
			}
		}
		slices.Sort(types)
		slices.Sort(stages)
		if !slices.Equal(types, want) {
			t.Errorf("%s: detectors of %v, want %v", name, types, want)
		}
		if s := []string{"aggregator", "deploy", "ingest", "normalizer", "pairer"}; !slices.Equal(stages, s) {
			t.Errorf("%s: %v, want %v", name, stages, s)
		}
	}
}

func TestPodsAreConfined(t *testing.T) {
	for name, values := range cases {
		for pod, p := range pods(mustRender(t, values)) {
			where := name + ", " + pod
			s := p.Spec.SecurityContext
			if s == nil || !*s.RunAsNonRoot || *s.RunAsUser == 0 || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s: %+v", where, s)
			}
			if *p.Spec.AutomountServiceAccountToken || p.Spec.HostNetwork || p.Spec.HostPID {
				t.Errorf("%s has more of its host or cluster than it needs", where)
			}
			for _, c := range p.Spec.Containers {
				s := c.SecurityContext
				if !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !slices.Contains(s.Capabilities.Drop, "ALL") {
					t.Errorf("%s: %+v", where, s)
				}
				if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() {
					t.Errorf("%s: resources %+v", where, c.Resources)
				}
				if p.Spec.RestartPolicy != core.RestartPolicyOnFailure && (c.LivenessProbe == nil || c.ReadinessProbe == nil || c.StartupProbe == nil) {
					t.Errorf("%s has no probes", where)
				}
				if !regexp.MustCompile(`^[a-z0-9./-]+:[\w.-]+$`).MatchString(c.Image) {
					t.Errorf("%s: image %q", where, c.Image)
				}
				for _, e := range c.Env {
					if regexp.MustCompile(`(?i)token|password|secret`).MatchString(e.Name) && e.Value != "" {
						t.Errorf("%s: %s is a secret in plain sight", where, e.Name)
					}
				}
			}
		}
	}
}

// A role's pod sees its own credentials and nobody else's.
func TestCredentials(t *testing.T) {
	for pod, p := range pods(mustRender(t, cases["bundled"])) {
		args := p.Spec.Containers[0].Args
		want := map[string]string{"deploy": "admin", "detector": "detector-" + args[min(2, len(args)-1)]}[args[0]]
		if want == "" {
			want = args[0]
		}
		for _, v := range p.Spec.Volumes {
			if v.Secret == nil || v.Secret.SecretName != "creds" {
				continue
			}
			if len(v.Secret.Items) != 1 || v.Secret.Items[0].Key != want+".creds" {
				t.Errorf("%s sees %+v, want %s.creds", pod, v.Secret.Items, want)
			}
			want = ""
		}
		if want != "" && args[0] != "--config" {
			t.Errorf("%s has no credentials", pod)
		}
	}
}

func TestSelectors(t *testing.T) {
	for name, values := range cases {
		objects := mustRender(t, values)
		all := pods(objects)
		matches := func(what string, s *meta.LabelSelector, at int) {
			t.Helper()
			selector, err := meta.LabelSelectorAsSelector(s)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, p := range all {
				if selector.Matches(labels.Set(p.Labels)) {
					n++
				}
			}
			if n != at && at > 0 || n == 0 {
				t.Errorf("%s: %s selects %d workloads, want %d", name, what, n, at)
			}
		}
		seen := make(map[string]bool)
		for _, o := range objects {
			kind := fmt.Sprintf("%T %s", o, o.GetName())
			if u, ok := o.(*unstructured.Unstructured); ok {
				kind = u.GetKind() + " " + o.GetName()
			}
			if seen[kind] {
				t.Errorf("%s: two of %s", name, kind)
			} else {
				seen[kind] = true
			}
			if len(o.GetName()) > 63 || o.GetLabels()["app.kubernetes.io/instance"] != "watch" {
				t.Errorf("%s: %s has labels %v", name, o.GetName(), o.GetLabels())
			}
			switch o := o.(type) {
			case *apps.Deployment:
				matches(o.Name, o.Spec.Selector, 1)
			case *apps.StatefulSet:
				matches(o.Name, o.Spec.Selector, 1)
			case *policy.PodDisruptionBudget:
				matches("budget "+o.Name, o.Spec.Selector, 1)
			case *networking.NetworkPolicy:
				matches("policy "+o.Name, &o.Spec.PodSelector, 0)
			case *core.Service:
				matches("service "+o.Name, &meta.LabelSelector{MatchLabels: o.Spec.Selector}, 1)
			case *autoscaling.HorizontalPodAutoscaler:
				if _, ok := all[o.Spec.ScaleTargetRef.Name]; !ok {
					t.Errorf("%s: %s scales %s, which is not there", name, o.Name, o.Spec.ScaleTargetRef.Name)
				}
			}
		}
	}
}

// Services are ready only when streams have been made: a hook would be run after all is ready, that is never.
func TestStreamsAreMadeWithoutAHook(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range []chartutil.ReleaseOptions{
		{Name: "watch", Namespace: "security", Revision: 1, IsInstall: true},
		{Name: "watch", Namespace: "security", Revision: 2, IsUpgrade: true},
		{Name: strings.Repeat("w", 53), Namespace: "security", Revision: 12345, IsUpgrade: true}, // as long as Helm allows
		{Name: strings.Repeat("w", 43) + "-" + strings.Repeat("x", 9), Namespace: "security", Revision: 1, IsInstall: true},
	} {
		objects, _, err := renderAs(r, cases["external"])
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			for a := range o.GetAnnotations() {
				if strings.HasPrefix(a, "helm.sh/hook") {
					t.Errorf("%s has %s", o.GetName(), a)
				}
			}
			job, ok := o.(*batch.Job)
			if !ok {
				continue
			}
			if !regexp.MustCompile(`^[a-z]+-deploy-`+fmt.Sprint(r.Revision)+`$`).MatchString(job.Name) || len(job.Name) > 63 || seen[job.Name] {
				t.Errorf("revision %d: the Job is %s", r.Revision, job.Name)
			}
			seen[job.Name] = true
			if s := job.Spec; s.TTLSecondsAfterFinished == nil || *s.BackoffLimit > 10 || s.Template.Spec.RestartPolicy != core.RestartPolicyOnFailure {
				t.Errorf("%s: %+v", job.Name, s)
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d Jobs, want 4", len(seen))
	}
}

// More instances than partitions would have nothing to do.
func TestScaling(t *testing.T) {
	n := 0
	for _, o := range mustRender(t, cases["scaling"]) {
		if d, ok := o.(*apps.Deployment); ok && d.Spec.Replicas != nil {
			t.Errorf("%s sets replicas, which every upgrade would set back", d.Name)
		}
		h, ok := o.(*autoscaling.HorizontalPodAutoscaler)
		if !ok {
			continue
		}
		n++
		most := int32(12)
		if h.Name == "watch-ingest" || h.Name == "watch-normalizer" {
			most = 4
		}
		if h.Spec.MaxReplicas != most {
			t.Errorf("%s: at most %d instances, want %d", h.Name, h.Spec.MaxReplicas, most)
		}
		if m := h.Spec.Metrics[0]; h.Name != "watch-ingest" && (m.External == nil || m.External.Metric.Name != "trailvane_lag_records" ||
			!regexp.MustCompile(`^(normalizer|aggregator|pairer|detector-[A-Z]\w+Insight)$`).MatchString(m.External.Metric.Selector.MatchExpressions[0].Values[0])) {
			t.Errorf("%s scales by %+v", h.Name, m)
		} else if m.External != nil && !maps.Equal(m.External.Metric.Selector.MatchLabels, ours) {
			t.Errorf("%s scales by others' series, too: %v", h.Name, m.External.Metric.Selector.MatchLabels)
		}
	}
	if n != 11 {
		t.Errorf("%d autoscalers, want 11", n)
	}
}

// ours are the labels of all series of the release, as the PodMonitor makes them of what all pods have.
var ours = map[string]string{"namespace": "security", "app_kubernetes_io_instance": "watch"}

// The rules are those of deploy/prometheus, each about this release, and series are named as they expect.
func TestMonitoring(t *testing.T) {
	parse := func(content []byte) []rulefmt.Rule {
		t.Helper()
		groups, errs := rulefmt.Parse(content, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
		if len(errs) > 0 {
			t.Fatalf("%v\n%s", errs, content)
		}
		var all []rulefmt.Rule
		for _, g := range groups.Groups {
			all = append(all, g.Rules...)
		}
		return all
	}
	content, err := os.ReadFile("../prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	want := parse(content)
	objects := mustRender(t, cases["bundled"])
	seen := 0
	for _, o := range objects {
		u, ok := o.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		seen++
		if u.GetLabels()["release"] != "stack" {
			t.Errorf("%s has labels %v", u.GetKind(), u.GetLabels())
		}
		if u.GetKind() == "PodMonitor" {
			job, _, _ := unstructured.NestedString(u.Object, "spec", "jobLabel")
			more, _, _ := unstructured.NestedStringSlice(u.Object, "spec", "podTargetLabels")
			for name, p := range pods(objects) {
				if p.Labels[job] != "trailvane" || len(more) != 2 || p.Labels[more[0]] != "watch" || p.Labels[more[1]] == "" {
					t.Errorf("%s has labels %v, and the PodMonitor takes %s and %s", name, p.Labels, job, more)
				}
			}
			continue
		}
		spec, err := yaml.Marshal(u.Object["spec"])
		if err != nil {
			t.Fatal(err)
		}
		got := parse(spec)
		if len(got) != len(want) {
			t.Fatalf("%d rules, want %d", len(got), len(want))
		}
		for i, r := range got {
			if r.Labels["namespace"] != "security" || r.Labels["release"] != "watch" || r.Labels["severity"] != want[i].Labels["severity"] {
				t.Errorf("%s has labels %v", r.Alert, r.Labels)
			}
			if r.Alert != want[i].Alert || r.For != want[i].For || r.Annotations["summary"] != want[i].Annotations["summary"] {
				t.Errorf("%+v, want %+v", r, want[i])
			}
			var selectors []string
			expr, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
			if err != nil {
				t.Fatal(err)
			}
			parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
				v, ok := n.(*parser.VectorSelector)
				if !ok {
					return nil
				}
				selectors = append(selectors, v.String())
				for label, value := range ours {
					if !strings.Contains(v.String(), label+`="`+value+`"`) {
						t.Errorf("%s looks at %s, which others have, too", r.Alert, v)
					}
				}
				return nil
			})
			if n := strings.Count(r.Expr, "app_kubernetes_io_instance="); n == 0 || n != len(selectors) {
				t.Errorf("%s: %s", r.Alert, r.Expr)
			}
			// A container is killed at its limit, so the alert is about less.
			if r.Alert != "TrailvaneMemory" {
				continue
			}
			for name, p := range pods(objects) {
				if p.Spec.RestartPolicy == core.RestartPolicyOnFailure || strings.HasSuffix(name, "-nats") {
					continue
				}
				part := fmt.Sprintf(`app_kubernetes_io_component=%q} > 0.85 * %d`, p.Labels["app.kubernetes.io/component"], p.Spec.Containers[0].Resources.Limits.Memory().Value())
				if strings.Count(r.Expr, part) != 1 {
					t.Errorf("%s has no %s:\n%s", r.Alert, part, r.Expr)
				}
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d objects of the Prometheus operator, want 2", seen)
	}
}

// What comes in where, and nothing else.
func TestNetworkPolicies(t *testing.T) {
	got := make(map[string][]int32)
	for _, o := range mustRender(t, cases["bundled"]) {
		p, ok := o.(*networking.NetworkPolicy)
		if !ok {
			continue
		}
		if !slices.Equal(p.Spec.PolicyTypes, []networking.PolicyType{networking.PolicyTypeIngress}) {
			t.Errorf("%s: %v", p.Name, p.Spec.PolicyTypes)
		}
		for _, rule := range p.Spec.Ingress {
			if len(rule.From) == 0 {
				t.Errorf("%s lets everybody in", p.Name)
			}
			for _, port := range rule.Ports {
				got[p.Name] = append(got[p.Name], port.Port.IntVal)
			}
		}
	}
	for _, o := range mustRender(t, cases["open"]) {
		if p, ok := o.(*networking.NetworkPolicy); ok && p.Name != "watch-nats" && len(p.Spec.Ingress) > 0 {
			t.Errorf("%s: nobody is named, and %v may come in", p.Name, p.Spec.Ingress)
		}
	}
	want := map[string][]int32{"watch-services": {8080}, "watch-events": {8081}, "watch-nats": {4222, 6222}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("open ports %v, want %v", got, want)
	}
}

// Every command line is one that the program takes, with its environment.
func TestCommandLines(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "trailvane")
	build := exec.Command("go", "build", "-o", program, "./services/trailvane")
	build.Dir, build.Env = "../..", append(os.Environ(), "GOWORK=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Files that the pods have: real ones, since the program looks into them.
	for file, content := range map[string]string{"http-tokens": "0123456789abcdef0123"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(program, "credentials", "--hosts", "n1", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for from, to := range map[string]string{"server.pem": "tls.crt", "server-key.pem": "tls.key"} { // as a secret of type kubernetes.io/tls has them
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	inPod := regexp.MustCompile(`/etc/trailvane/\w+/`)
	for name, values := range cases {
		for pod, p := range pods(mustRender(t, values)) {
			c := p.Spec.Containers[0]
			if strings.HasPrefix(c.Args[0], "-") {
				continue // NATS
			}
			args := []string{"config", "check"}
			for _, a := range c.Args {
				args = append(args, inPod.ReplaceAllString(a, dir+"/"))
			}
			check := exec.Command(program, args...)
			for _, e := range c.Env {
				check.Env = append(check.Env, e.Name+"="+inPod.ReplaceAllString(e.Value, dir+"/"))
			}
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s, %s: %v: %v\n%s", name, pod, c.Args, err, out)
			}
		}
	}
}

// What a command line or the environment names of the pod's files is mounted, and nothing else is.
func TestMounts(t *testing.T) {
	inPod := regexp.MustCompile(`/etc/trailvane/\w+`)
	named := make(map[string]bool) // in any case
	for name, values := range cases {
		for pod, p := range pods(mustRender(t, values)) {
			c := p.Spec.Containers[0]
			if strings.HasPrefix(c.Args[0], "-") {
				continue // NATS
			}
			texts := slices.Clone(c.Args)
			for _, e := range c.Env {
				texts = append(texts, e.Value)
			}
			want := inPod.FindAllString(strings.Join(texts, "\n"), -1)
			slices.Sort(want)
			want = slices.Compact(want)
			var got []string
			for _, m := range c.VolumeMounts {
				if m.MountPath != "/tmp" {
					got = append(got, m.MountPath)
				}
				if !slices.ContainsFunc(p.Spec.Volumes, func(v core.Volume) bool { return v.Name == m.Name }) {
					t.Errorf("%s, %s: no volume %s", name, pod, m.Name)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: mounts %v, names %v", name, pod, got, want)
			}
			for _, w := range want {
				named[w] = true
			}
		}
	}
	if got := slices.Sorted(maps.Keys(named)); len(got) != 4 {
		t.Errorf("the cases name only %v", got)
	}
}

// What makes no sense is refused before anything is installed.
func TestWrongValues(t *testing.T) {
	for values, want := range map[string]string{
		"{secrets: {httpTokens: t}}":                                                                                "nats.urls",
		"{nats: {urls: ['nats://n:4222']}}":                                                                         "secrets.httpTokens",
		"{nats: {urls: ['http://n:4222']}, secrets: {httpTokens: t}}":                                               "urls",
		"{nats: {bundled: {enabled: true, replicas: 1}}, secrets: {httpTokens: t}}":                                 "deployment.replicas",
		"{nats: {bundled: {enabled: true}}, secrets: {httpTokens: t, credentials: c}}":                              "secrets.serverAuth",
		"{nats: {bundled: {enabled: true}}, secrets: {httpTokens: t, credentials: c, serverAuth: a}}":               "secrets.serverTLS",
		"{nats: {bundled: {enabled: true}}, secrets: {httpTokens: t, credentials: c, serverAuth: a, serverTLS: s}}": "secrets.ca",
		"{nats: {bundled: {enabled: true, storage: 100Gi}}, secrets: {httpTokens: t}}":                              "nats.bundled.storage",
		"{nats: {urls: ['nats://n:4222']}, secrets: {httpTokens: t}, networkPolicies: {clients: {}}}":               "clients",
		"{nats: {urls: ['nats://n:4222']}, secrets: {httpTokens: t}, deployment: {partitions: 33}}":                 "partitions",
		"{nats: {urls: ['nats://n:4222']}, secrets: {httpTokens: t}, agregator: {}}":                                "agregator",
		"{nats: {urls: ['nats://n:4222']}, secrets: {httpTokens: t}, prometheusRule: {enabled: true}}":              "podMonitor",
	} {
		if _, _, err := render(values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", values, err, want)
		}
	}
}

// The chart's page explains every value.
func TestValuesAreExplained(t *testing.T) {
	f, err := os.Open("trailvane/README.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile("trailvane/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(content, &values); err != nil {
		t.Fatal(err)
	}
	for key, v := range values {
		if inner, ok := v.(map[string]any); ok && len(inner) > 0 {
			for k := range inner {
				if !strings.Contains(string(page), "`"+key+"."+k) {
					t.Errorf("README.md does not explain %s.%s", key, k)
				}
			}
		} else if !strings.Contains(string(page), "`"+key+"`") {
			t.Errorf("README.md does not explain %s", key)
		}
	}
}
