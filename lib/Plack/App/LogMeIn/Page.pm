package Plack::App::LogMeIn::Page;

use strict;
use warnings;
use Cpanel::LogMeIn ();
use Digest::SHA     qw(sha256_base64);
use HTML::Template  ();
use MIME::Base64    qw(encode_base64);

our $VERSION = '0.01';

my $LOGO_MAX = 65_536;    # bytes

my %TITLE = map { $_->{name} => $_->{title} } Cpanel::LogMeIn::services();

my %TYPE = (
    gif  => 'image/gif',
    jpeg => 'image/jpeg',
    jpg  => 'image/jpeg',
    png  => 'image/png',
    svg  => 'image/svg+xml',
    webp => 'image/webp',
);

# Takes the settings page_title, page_logo and page_footer.
sub new {
    my ( $class, %setting ) = @_;
    my ($folder) = __FILE__ =~ m{\A(.*)[.]pm\z}s;
    my $file     = $folder =~ s{Page\z}{page.html}r;
    my $template = HTML::Template->new(
        filename       => $file,
        default_escape => 'HTML',
        utf8           => 0,
    );
    my $self = bless {
        template => $template,
        title    => $setting{page_title},
        footer   => $setting{page_footer},
        logo     => scalar _logo( $setting{page_logo} ),
    }, $class;
    $self->{policy} = _policy( $self->html( service => 'cpanel' ) );
    return $self;
}

# The image is embedded, because the page must not load anything.
sub _logo {
    my ($path) = @_;
    return if !length( $path // q{} );
    my ($type) = map { $TYPE{ lc $_ } } $path =~ /[.](\w+)\z/;
    die "page_logo: $path is not a PNG, JPEG, GIF, SVG or WebP file\n" if !$type;
    open my $file, '<:raw', $path or die "page_logo: $path: $!\n";
    my $got = read $file, my $bytes, $LOGO_MAX + 1;
    die "page_logo: $path: $!\n"                           if !defined $got;
    die "page_logo: $path has more than $LOGO_MAX bytes\n" if $got > $LOGO_MAX;
    return "data:$type;base64," . encode_base64( $bytes, q{} );
}

# Scripts and external resources are forbidden; the style is allowed by its hash.
sub _policy {
    my ($html)  = @_;
    my ($style) = $html =~ m{<style>(.*?)</style>}s;
    my $hash    = sha256_base64($style);
    $hash .= q{=} while length($hash) % 4;
    return join q{; }, q{default-src 'none'}, "style-src 'sha256-$hash'", 'img-src data:',
        q{form-action 'self'}, q{frame-ancestors 'none'}, q{base-uri 'none'};
}

# The value of the header Content-Security-Policy.
sub policy { my ($self) = @_; return $self->{policy} }

# The page as bytes. Parts: service, heading, alert, news, login (true: with
# the login form), goto_uri; confirm (true: with the confirmation form), action, ticket, user,
# current, stay; logout (the path to post to);
# link and link_text.
sub html {
    my ( $self, %part ) = @_;
    my $template = $self->{template};
    $template->clear_params;
    $template->param(
        heading => 'Log in',
        logo    => $self->{logo},
        footer  => $self->{footer},
        %part,
        title => length( $self->{title} // q{} ) ? $self->{title} : $TITLE{ $part{service} },
    );
    return $template->output;
}

1;

__END__

=head1 NAME

Plack::App::LogMeIn::Page - the HTML page of the gateway

=head1 DESCRIPTION

Internal to L<Plack::App::LogMeIn>. The page itself is F<page.html> beside this
file, an L<HTML::Template>: one file, without scripts or external resources.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
