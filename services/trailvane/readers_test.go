package main

import (
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/services/internal/broker"
)

func TestReadersCommand(t *testing.T) {
	b, err := broker.Start(t.Context(), broker.Config{Dir: jetstreamtest.Dir(t), Host: "127.0.0.1", Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown()
	run := func(args ...string) (code int, out, errOut string) {
		return commandLine(t, append(args, "--nats", b.ClientURL())...)
	}
	if code, _, errOut := run("readers", "list"); code != exitFailed || !strings.Contains(errOut, "there is no deployment yet") {
		t.Errorf("before a deployment: exit %d, %s", code, errOut)
	}
	if code, _, errOut := run("deploy", "--partitions", "1", "--lanes", "1", "--keep-tail", "2"); code != exitOK {
		t.Fatalf("deploy: %s", errOut)
	}
	_, out, _ := run("readers", "list")
	for _, want := range []string{
		"STAGE REGISTERED READS POSITION LAG",
		"normalizer yes RAW_0 - 0 has not begun; everything is kept for it",
		"detector-IpInsight yes WINDOWS_0 - 0",
		"trimming: on, the last 2 messages stay",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("list does not say %q:\n%s", want, out)
		}
	}
	if code, out, errOut := run("readers", "disable", "detector-IpInsight"); code != exitOK || !strings.Contains(out, "not registered any more") {
		t.Errorf("disable: exit %d, %s%s", code, out, errOut)
	}
	if code, _, errOut := run("deploy"); code != exitOK { // changes nothing about it
		t.Errorf("deploy: %s", errOut)
	}
	if _, out, _ = run("readers", "list"); !strings.Contains(strings.Join(strings.Fields(out), " "), "detector-IpInsight no WINDOWS_0") {
		t.Errorf("after disable:\n%s", out)
	}
	if code, out, errOut := run("readers", "enable", "detector-IpInsight"); code != exitOK || !strings.Contains(out, "is registered") {
		t.Errorf("enable: exit %d, %s%s", code, out, errOut)
	}
	for args, want := range map[string]string{
		"readers enable ip":          `there is no reader \"ip\", only aggregator, detector-AkInsight`,
		"readers disable aggregator": "nobody else reads EVENTS",
	} {
		if code, _, errOut := run(strings.Fields(args)...); code != exitFailed || !strings.Contains(errOut, want) {
			t.Errorf("%s: exit %d, %s", args, code, errOut)
		}
	}
}
