package view

import (
	"net/netip"
	"strings"

	"github.com/trailvane/trailvane/schemas"
)

// A link is something that two insights may share.
type link struct {
	kind  linkKind
	value string
}

type linkKind uint8

const (
	principalLink linkKind = iota
	keyLink
	addressLink
)

// The dimensions of drivers that link.
const (
	addressDriver = "sourceIPAddress"
	keyDriver     = "accessKeyId"
)

// leastShare is the share of a dimension's first value that another one needs to count as behind the insight, and not as somebody
// who did the same by chance meanwhile.
const leastShare = 0.1

// linksOf returns what an insight was seen with, each once.
func linksOf(i *schemas.Insight) []link {
	var links []link
	add := func(kind linkKind, value string) {
		switch kind {
		case addressLink:
			ip, err := netip.ParseAddr(value)
			if err != nil || ip.IsUnspecified() || ip.IsLoopback() {
				return
			}
			value = ip.Unmap().WithZone("").String()
		case principalLink:
			if Service(value) {
				return
			}
		}
		if value == "" {
			return
		}
		l := link{kind, strings.Clone(value)}
		for _, known := range links {
			if known == l {
				return
			}
		}
		links = append(links, l)
	}
	switch i.Details.Type {
	case schemas.IP:
		add(addressLink, i.Details.Object)
	case schemas.AK:
		add(keyLink, i.Details.Object)
	}
	for _, a := range i.Details.Context.Attributions {
		if a.Attribute != schemas.PrincipalAttribute && a.Attribute != "userIdentityArn" {
			continue
		}
		for _, v := range a.Insight[:min(len(a.Insight), schemas.MaxAttributed)] {
			if v.Average >= leastShare*a.Insight[0].Average {
				add(principalLink, v.Value)
			}
		}
	}
	most := map[string]float64{}
	for _, d := range i.Details.Trailvane.Why.Drivers {
		most[d.Dimension] = max(most[d.Dimension], d.Insight)
	}
	for _, d := range i.Details.Trailvane.Why.Drivers {
		if d.Insight < leastShare*most[d.Dimension] {
			continue
		}
		switch d.Dimension {
		case addressDriver:
			add(addressLink, d.Value)
		case keyDriver:
			add(keyLink, d.Value)
		}
	}
	return links
}

// Service reports whether a principal is a service of the cloud, or a role that only a service can take: it acts for everybody.
func Service(principal string) bool {
	switch principal {
	case "", "AWS Internal", "Internal", "AWSService", "system", "Unknown":
		return true
	}
	if strings.HasPrefix(principal, "arn:") {
		return strings.Contains(principal, "/aws-service-role/") || strings.Contains(principal, "/AWSServiceRoleFor")
	}
	return strings.HasPrefix(principal, "AliyunServiceRoleFor") || strings.HasSuffix(principal, ".amazonaws.com") ||
		strings.HasSuffix(principal, ".amazonaws.com.cn") || strings.HasSuffix(principal, ".aliyuncs.com")
}
