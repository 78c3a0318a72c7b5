package com.example.orders;

import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import jakarta.annotation.PostConstruct;
import jakarta.servlet.Filter;
import jakarta.servlet.http.HttpServletResponse;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidatorResult;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;
import org.springframework.stereotype.Component;

/**
 * Refuses access tokens that are dead before their time. A thread takes the signed snapshot of all
 * revocations, then follows the stream of changes, and comes back by itself after an outage.
 */
@Component
class Revocations implements OAuth2TokenValidator<Jwt> {
    private static final Logger LOG = LoggerFactory.getLogger(Revocations.class);
    /** What is longer is not Signet's, or not meant to be held in memory. */
    private static final int LONGEST_SNAPSHOT = 64 << 20;
    private static final int LONGEST_EVENT = 1 << 20;
    private static final int TIMEOUT_MS = 5000;
    private static final long SECOND = Duration.ofSeconds(1).toNanos();
    private static final Set<String> CLAIMS = Set.of("sid", "jti", "kid", "sub", "client_id");

    private record Key(String claim, String value) {}

    /** Covers what was issued before; in seconds. */
    private record Entry(long before, long exp) {
        Entry or(Entry other) {
            return new Entry(Math.max(before, other.before), Math.max(exp, other.exp));
        }
    }

    private final String issuer;
    private final Duration maxStaleness;
    private final CountDownLatch first = new CountDownLatch(1);
    private volatile Map<Key, Entry> entries = new ConcurrentHashMap<>();
    /** All that had happened until then is known; by the clock that never jumps. */
    private volatile long knownAt;
    private volatile boolean isKnown;
    // The rest belongs to the thread.
    private JWKSource<SecurityContext> keys;
    private URI snapshotUri;
    private URI streamUri;
    private String epoch = "";
    private long seq;
    private String etag;
    private long askedAt = System.nanoTime() - 2 * SECOND;
    private long purgedAt = System.nanoTime();

    Revocations(
            @Value("${spring.security.oauth2.resourceserver.jwt.issuer-uri}") String issuer,
            @Value("${signet.max-staleness}") long maxStaleness) {
        this.issuer = issuer;
        this.maxStaleness = Duration.ofSeconds(maxStaleness);
    }

    /** Begins to follow, and waits a little for the first snapshot. */
    @PostConstruct
    void start() throws InterruptedException {
        Thread thread = new Thread(this::run, "revocations");
        thread.setDaemon(true);
        thread.start();
        first.await(maxStaleness.toMillis() / 2, TimeUnit.MILLISECONDS);
    }

    @Override
    public OAuth2TokenValidatorResult validate(Jwt token) {
        if (token.getIssuedAt() == null) {
            return Security.invalid("the token does not say when it was issued");
        }
        long issuedAt = token.getIssuedAt().getEpochSecond();
        boolean revoked = CLAIMS.stream().anyMatch(claim -> {
            Object value = claim.equals("kid") ? token.getHeaders().get("kid") : token.getClaim(claim);
            Entry entry = value instanceof String text ? entries.get(new Key(claim, text)) : null;
            return entry != null && issuedAt < entry.before;
        });
        return revoked ? Security.invalid("the token is revoked") : OAuth2TokenValidatorResult.success();
    }

    /** Answers 503 to good tokens while too long nothing is known for certain. */
    Filter notStale() {
        return (request, response, chain) -> {
            boolean stale = !isKnown || System.nanoTime() - knownAt > maxStaleness.toNanos();
            if (stale && SecurityContextHolder.getContext().getAuthentication()
                    instanceof JwtAuthenticationToken) {
                Security.unavailable((HttpServletResponse) response);
            } else {
                chain.doFilter(request, response);
            }
        };
    }

    private void run() {
        long pause = SECOND;
        boolean behind = true;
        while (true) {
            try {
                if (keys == null) {
                    discover();
                }
                if (behind) {
                    // At the start, and as long as there is no stream to be had.
                    takeSnapshot();
                }
                first.countDown();
                behind = true; // unless an event is heard
                if (follow()) {
                    behind = false;
                    pause = SECOND;
                }
            } catch (Exception | StackOverflowError failure) {
                LOG.warn("no revocations: {}", failure.toString());
            }
            first.countDown();
            try {
                // Not everybody at once, and not for long: what is not heard is not known.
                long random = ThreadLocalRandom.current().nextLong(pause / 2);
                TimeUnit.NANOSECONDS.sleep(pause / 2 + random);
            } catch (InterruptedException interrupted) {
                return;
            }
            pause = Math.max(SECOND, Math.min(2 * pause, maxStaleness.toNanos() / 4));
        }
    }

    private void discover() throws Exception {
        URI address = URI.create(issuer + "/.well-known/oauth-authorization-server");
        HttpURLConnection answer = get(address, null, null, TIMEOUT_MS);
        try (InputStream body = expect(answer, 200).getInputStream()) {
            byte[] text = body.readNBytes(LONGEST_EVENT);
            Map<String, Object> metadata = json(new String(text, StandardCharsets.UTF_8));
            if (!issuer.equals(metadata.get("issuer"))) {
                throw new IOException("the metadata are those of " + metadata.get("issuer"));
            }
            snapshotUri = JSONObjectUtils.getURI(metadata, "revocations_uri");
            streamUri = JSONObjectUtils.getURI(metadata, "revocations_stream_uri");
            keys = JWKSourceBuilder.create(JSONObjectUtils.getURI(metadata, "jwks_uri").toURL()).build();
        }
    }

    /** Reads server-sent events (WHATWG HTML 9.2) until the connection ends; whether there were any. */
    private boolean follow() throws Exception {
        // A connection that is silent for so long is dead; heartbeats come every 2 seconds.
        int silence = Math.toIntExact(maxStaleness.toMillis() / 2);
        HttpURLConnection answer = get(streamUri, "Last-Event-ID", Long.toString(seq), silence);
        boolean heard = false;
        try (InputStream stream = new BufferedInputStream(expect(answer, 200).getInputStream())) {
            String name = "";
            StringBuilder data = new StringBuilder();
            while (true) {
                String line = line(stream);
                int colon = line.indexOf(':');
                String field = colon < 0 ? line : line.substring(0, colon);
                String value = colon < 0 ? "" : line.substring(colon + 1).replaceFirst("^ ", "");
                if (line.isEmpty()) {
                    if (!data.isEmpty()) {
                        hear(name, data.toString());
                        heard = true;
                    }
                    name = "";
                    data.setLength(0);
                } else if (field.equals("event")) {
                    name = value;
                } else if (field.equals("data")) {
                    data.append(data.isEmpty() ? "" : "\n").append(value);
                    if (data.length() > LONGEST_EVENT) {
                        throw new IOException("an event does not end");
                    }
                }
            }
        } catch (IOException | java.text.ParseException | com.nimbusds.jose.JOSEException
                | com.nimbusds.jose.proc.BadJOSEException ended) {
            LOG.warn("no stream of revocations: {}", ended.toString());
            return heard;
        } finally {
            answer.disconnect();
        }
    }

    private static String line(InputStream stream) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int next = stream.read(); next != '\n'; next = stream.read()) {
            if (next < 0) {
                throw new EOFException("the stream ended");
            }
            if (line.size() > LONGEST_EVENT) {
                throw new IOException("a line does not end");
            }
            line.write(next);
        }
        return line.toString(StandardCharsets.UTF_8).replaceFirst("\r$", "");
    }

    private void hear(String name, String data) throws Exception {
        long heardAt = System.nanoTime();
        if (name.equals("revocation")) {
            JWTClaimsSet change = verify(data, "secevent+jwt");
            // Whatever else is missing, this much is true.
            add(entries, change);
            boolean same = epoch.equals(change.getStringClaim("epoch"));
            long number = change.getLongClaim("seq");
            if (same && number == seq + 1) {
                seq = number;
            }
            if (!same || number > seq) {
                catchUp(heardAt);
            }
        } else if (name.equals("snapshot") || name.equals("heartbeat")) {
            Map<String, Object> state = json(data);
            if (!epoch.equals(state.get("epoch")) || JSONObjectUtils.getLong(state, "seq") > seq) {
                catchUp(heardAt);
            } else if (name.equals("heartbeat")) {
                double age = JSONObjectUtils.getDouble(state, "age");
                if (!(age >= 0 && age < Integer.MAX_VALUE)) {
                    throw new IOException("a heartbeat without an age");
                }
                know(heardAt - (long) (age * SECOND));
                purge(heardAt);
            }
        }
    }

    private void know(long at) {
        if (!isKnown || at - knownAt > 0) {
            knownAt = at;
            isKnown = true;
        }
    }

    /** Not more than once a second, however much is missing. The next heartbeat reminds of it. */
    private void catchUp(long now) throws Exception {
        if (now - askedAt > SECOND) {
            takeSnapshot();
        }
    }

    private void takeSnapshot() throws Exception {
        long start = System.nanoTime();
        askedAt = start;
        HttpURLConnection answer = get(snapshotUri, "If-None-Match", etag, TIMEOUT_MS);
        try {
            if (answer.getResponseCode() != HttpURLConnection.HTTP_NOT_MODIFIED) {
                try (InputStream body = expect(answer, 200).getInputStream()) {
                    byte[] text = body.readNBytes(LONGEST_SNAPSHOT + 1);
                    if (text.length > LONGEST_SNAPSHOT) {
                        throw new IOException("the snapshot does not end");
                    }
                    replace(verify(new String(text, StandardCharsets.UTF_8), "revocations+jwt"));
                }
                etag = answer.getHeaderField("ETag");
            }
            long age = Long.parseLong(String.valueOf(answer.getHeaderField("Age")));
            if (age < 0 || age > Integer.MAX_VALUE) {
                throw new IOException("the snapshot's age is " + age);
            }
            knownAt = start - age * SECOND;
            isKnown = true;
        } catch (NumberFormatException none) {
            throw new IOException("the snapshot has no age");
        } finally {
            answer.disconnect();
        }
    }

    /**
     * Entries are never taken back, and another instance may lag a little. Another epoch is another
     * history.
     */
    private void replace(JWTClaimsSet snapshot) throws Exception {
        String now = snapshot.getStringClaim("epoch");
        Map<Key, Entry> all = now.equals(epoch) ? entries : new ConcurrentHashMap<>();
        add(all, snapshot);
        entries = all;
        epoch = now;
        seq = snapshot.getLongClaim("seq");
    }

    /** The claims of what Signet signed as this type. */
    private JWTClaimsSet verify(String jws, String type) throws Exception {
        DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType(type)));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.RS256, keys));
        processor.setJWTClaimsSetVerifier(
            new DefaultJWTClaimsVerifier<>(null, Set.of("iss", "epoch", "seq", "revocations")));
        JWTClaimsSet claims = processor.process(jws, null);
        // Until the next release of Signet the issuer's own name, too.
        if (!Set.of(issuer, issuer + "/revocations").contains(claims.getIssuer())) {
            throw new IOException("the issuer is " + claims.getIssuer());
        }
        return claims;
    }

    /** Takes over entries of the shapes that are known; what a newer Signet may add is passed over. */
    private static void add(Map<Key, Entry> entries, JWTClaimsSet statement) throws Exception {
        for (Object item : statement.getListClaim("revocations")) {
            if (!(item instanceof Map<?, ?> members)) {
                continue;
            }
            for (String claim : CLAIMS) {
                boolean hasLimit = claim.equals("sub") || claim.equals("client_id");
                if (members.get(claim) instanceof String value && members.containsKey("exp")
                        && members.size() == (hasLimit ? 3 : 2)) {
                    long before = hasLimit ? number(members.get("before")) : Long.MAX_VALUE;
                    Entry entry = new Entry(before, number(members.get("exp")));
                    entries.merge(new Key(claim, value), entry, Entry::or);
                }
            }
        }
    }

    private static long number(Object value) {
        return value instanceof Number number ? number.longValue() : Long.MAX_VALUE;
    }

    private void purge(long now) {
        if (now - purgedAt > 60 * SECOND) {
            purgedAt = now;
            long seconds = Instant.now().getEpochSecond();
            // Keys stay: a library may hold on to one for longer than Signet publishes it.
            entries.entrySet().removeIf(entry ->
                entry.getValue().exp <= seconds && !entry.getKey().claim.equals("kid"));
        }
    }

    private static Map<String, Object> json(String text) throws java.text.ParseException {
        return JSONObjectUtils.parse(text);
    }

    private static HttpURLConnection get(URI address, String name, String value, int readTimeout)
            throws IOException {
        HttpURLConnection connection = (HttpURLConnection) address.toURL().openConnection();
        connection.setConnectTimeout(TIMEOUT_MS);
        connection.setReadTimeout(readTimeout);
        connection.setUseCaches(false);
        if (value != null) {
            connection.setRequestProperty(name, value);
        }
        return connection;
    }

    private static HttpURLConnection expect(HttpURLConnection answer, int status) throws IOException {
        if (answer.getResponseCode() != status) {
            throw new IOException(answer.getURL() + " answers " + answer.getResponseCode());
        }
        return answer;
    }
}
