package com.example.orders;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.http.ResponseEntity;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RestController;

/** Orders: who may do what is in {@link Security}. */
@RestController
@SpringBootApplication
public class OrdersApplication {
    private final Map<String, String> orders =
        new ConcurrentHashMap<>(Map.of("1", "a kettle", "2", "two cups"));

    public static void main(String[] arguments) {
        SpringApplication.run(OrdersApplication.class, arguments);
    }

    @GetMapping("/orders")
    Map<String, Object> list(@AuthenticationPrincipal Jwt token) {
        return Map.of("for", token.getSubject(), "orders", orders);
    }

    @DeleteMapping("/orders/{id}")
    ResponseEntity<Void> delete(@PathVariable("id") String id) {
        orders.remove(id);
        return ResponseEntity.noContent().build();
    }
}
